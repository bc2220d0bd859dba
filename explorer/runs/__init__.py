"""Training runs: choose settings, train, show progress, and save the bundle."""
