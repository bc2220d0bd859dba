"""Latentscape's command line, web app and publishing."""
