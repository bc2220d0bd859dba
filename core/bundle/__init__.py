"""Bundles: folders with a trained model and its gallery; saving, loading, exporting and publishing them."""
