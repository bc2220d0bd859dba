"""Data sets: pictures and arrays read into 8-bit images with labels, split once and for all."""
