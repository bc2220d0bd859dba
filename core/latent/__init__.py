"""The latent space: paths, neighbours and the map."""
