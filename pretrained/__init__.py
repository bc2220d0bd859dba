"""Pretrained bundles: one folder for each model."""
