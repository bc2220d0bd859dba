"""The variational autoencoder: networks, distributions and objectives."""
