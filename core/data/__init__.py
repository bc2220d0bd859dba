"""Data sets: read pictures and arrays as 8-bit images with labels, with a fixed train/test split."""
