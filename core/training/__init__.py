"""Training: the loop, its settings, and what a run saves and goes on from."""
