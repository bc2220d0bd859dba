"""The variational autoencoder: its distributions, networks and objectives."""
