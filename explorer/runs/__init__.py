"""Training runs: what is chosen for the user before one, seen of it meanwhile, and left behind after it."""
