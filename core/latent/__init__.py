"""Operations on the latent space: interpolation, neighbour search and the map."""
