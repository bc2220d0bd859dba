"""Training: the loop, its settings, progress, validation and checkpoints."""
