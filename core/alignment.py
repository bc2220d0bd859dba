"""Turning a latent space, so that what a label measures lies along a single latent.

A standard normal prior is the same from every side: turned by a rotation R, decoder(R^T z) draws what decoder(z) drew, and the
likelihood of every image is what it was. Only the posterior, whose variances are kept per latent, loses a little, which
further training mends. The labels choose the axes: a disentanglement found this way is not unsupervised, and is not to be
called so.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.evaluation import encode
from core.images import Images
from core.priors import StandardNormal
from core.vae import VAE

SEEN = 10_000
"""Images that directions are found on, at most."""


@torch.no_grad()
def align(vae: VAE, images: Images, labels: dict[str, Float[Tensor, " n"]]) -> dict[str, int]:
    """Turn the latent space of `vae`, in place, so that each label's direction, the one along which the posterior means
    move with it (their covariance), is a latent. Gives the latent of each label.

    The first label's direction is kept as it is, those of the others at a right angle to the ones before. A label takes the
    latent that moved most with it; the latents that none takes stay as near to where they were as they can.

    Raises ValueError for a prior that is not the same from every side, more labels than latents, or one that does not change.
    """
    if not isinstance(vae.prior, StandardNormal):
        raise ValueError("only a standard normal prior is the same from every side; this one is a learned prior.")
    latents = vae.prior.latents
    if not 1 <= len(labels) <= latents:
        raise ValueError(f"labels must be 1 to {latents}, the number of latents; got {len(labels)}.")
    index = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:SEEN]
    values = torch.stack([column[index].double() for column in labels.values()], dim=1)
    if still := [name for name, column in zip(labels, values.T, strict=True) if not column.std() > 0]:
        raise ValueError(f"a label must be numbers that change; {', '.join(still)} does not.")
    means = encode(vae, images[index]).mean.double()
    directions = upright((values - values.mean(0)).T @ (means - means.mean(0)))
    taken: dict[str, int] = {}
    for name, direction in zip(labels, directions, strict=True):
        free = direction.abs().clone()
        free[list(taken.values())] = -1
        taken[name] = int(free.argmax())
    turn(vae, rotation(directions, list(taken.values())))
    return taken


def upright(vectors: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    """The vectors at length one, each at a right angle to those before it, and on its own side (Gram-Schmidt)."""
    q, r = torch.linalg.qr(vectors.T)
    return (q * r.diagonal().sign()).T


def rotation(directions: Float[Tensor, "k d"], places: list[int]) -> Float[Tensor, "d d"]:
    """An orthogonal matrix with these orthonormal rows at these places; its others are the nearest to the unit vectors there.

    >>> rotation(torch.tensor([[0.0, 1.0, 0.0]]), [1]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    d = directions.shape[1]
    rest = [i for i in range(d) if i not in places]
    units = torch.eye(d, dtype=directions.dtype)[rest]
    # Nearest orthonormal rows: the polar factor (Löwdin, 1950).
    u, _, vh = torch.linalg.svd(units - units @ directions.T @ directions, full_matrices=False)
    made = torch.empty(d, d, dtype=directions.dtype)
    made[places], made[rest] = directions, u @ vh
    return made


@torch.no_grad()
def turn(vae: VAE, by: Float[Tensor, "latents latents"]) -> None:
    """Turn the latent space in place: what had the latents z has `by` @ z. Each new log-variance is the mean of the old ones,
    weighed by the squares of its row."""
    last = [module for module in vae.encoder.modules() if isinstance(module, nn.Linear)][-1]
    first = next(module for module in vae.decoder.modules() if isinstance(module, nn.Linear))
    for part in (last.weight, last.bias):
        means, log_variances = part.double().chunk(2)
        mixed = by.to(part.device)
        part.copy_(torch.cat([mixed @ means, mixed.square() @ log_variances]))
    first.weight.copy_(first.weight.double() @ by.to(first.weight.device).T)
