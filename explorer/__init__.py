"""Latentscape's app and command line: everything a person touches."""
