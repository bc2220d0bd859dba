"""Evaluation: what a model scores, what its samples are worth, and which images are odd for it."""
