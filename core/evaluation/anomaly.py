"""Anomaly detection: a score for each image and a conformal p-value.

The ELBO alone is a poor score: simple images score too high, and a class that is hard to draw scores too low. The score here
is minus the log density of several statistics of an image together, under a density fitted to those of the training images
(DoSE, Morningstar et al., 2021, arXiv 2006.09273). A fit that is unusually good counts as anomalous too. Held-out training
images turn the score into a conformal p-value (Bates et al., 2023, arXiv 2104.08279).
"""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.distributions import Normal

from core.data.preprocessing import Images, to_unit
from core.model.vae import VAE

DRAWS = 8
"""Importance samples of the bound among the statistics. All images share one fixed noise, so scores are deterministic."""
MIN_IMAGES = 20
"""Minimum number of images for fitting and for calibration: a p-value of 5 % is one in twenty."""
MAX_TRAINING_IMAGES = 20_000
"""Maximum number of training images that the density is fitted to."""


@dataclass(frozen=True)
class Anomaly:
    """The p-value and the anomaly score of each image."""

    p_value: Float[Tensor, " n"]
    """Estimated share of normal images with at least this score. A threshold of 0.05 flags 5 % of normal images."""
    score: Float[Tensor, " n"]
    """Minus the log density of the image's statistics, in nats; larger is more anomalous."""


@dataclass(frozen=True)
class Detector:
    """A mixture of k normals fitted to the standardized statistics of training images, and the scores of held-out images."""

    centre: Float[Tensor, " s"]
    scale: Float[Tensor, " s"]
    weight: Float[Tensor, " k"]
    mean: Float[Tensor, "k s"]
    precision: Float[Tensor, "k s s"]
    """Cholesky factors of the inverse covariances, upper triangular as in scikit-learn."""
    calibration: Float[Tensor, " m"]
    """Scores of m images that neither the model nor the mixture was fitted to, in ascending order."""

    def __len__(self) -> int:
        """Number of calibration images."""
        return len(self.calibration)

    def tensors(self) -> dict[str, Tensor]:
        """Return all fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def read(cls, file: Path, latents: int) -> "Detector":
        """Read anomaly.safetensors. Raises ValueError if it is damaged or does not fit a model with this number of latents."""
        try:
            detector = cls(**load_file(file))
            detector.check(latents)
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise ValueError(f"{file} is damaged: {error}. Calibrate the model again or download it again.") from error
        return detector

    def check(self, latents: int) -> None:
        """Raise ValueError unless the tensors fit each other and a model with this number of latents."""
        k, s = self.mean.shape if self.mean.ndim == 2 else (0, 0)
        shapes = {"centre": (s,), "scale": (s,), "weight": (k,), "mean": (k, latents + 6), "precision": (k, s, s)}
        for name, tensor in self.tensors().items():
            expected = shapes.get(name, (len(self.calibration),))
            if tuple(tensor.shape) != expected or not tensor.is_floating_point() or not tensor.isfinite().all():
                raise ValueError(f"{name} must be finite numbers of shape {expected}; got {tuple(tensor.shape)}")

    def score(self, values: Float[Tensor, "n s"]) -> Float[Tensor, " n"]:
        """Return minus the log density of these statistics, in nats, after standardization."""
        v = ((values - self.centre) / self.scale).clamp(-30, 30).double()
        whitened = torch.einsum("nks,kst->nkt", v[:, None] - self.mean, self.precision)
        log_det = self.precision.diagonal(dim1=1, dim2=2).log().sum(1)
        dimensions = self.mean.shape[1]
        log_density = log_det - 0.5 * (whitened.square().sum(2) + dimensions * math.log(2 * math.pi))
        return -(self.weight.log() + log_density).logsumexp(1)

    def detect(self, values: Float[Tensor, "n s"]) -> Anomaly:
        """Return scores and conformal p-values (1 + number of calibration scores at least as large) / (1 + m)."""
        score = self.score(values)
        below = torch.searchsorted(self.calibration, score)
        m = len(self)
        return Anomaly(p_value=(1 + m - below) / (1 + m), score=score)


@torch.no_grad()
def statistics(vae: VAE, images: Images, batch_size: int = 512, posterior: Normal | None = None) -> Float[Tensor, "n s"]:
    """Return the statistics of 8-bit images that the density is fitted to: s = latents + 6 numbers per image.

    They are the posterior mean, then the log-likelihood of the image decoded from that mean, its KL, its importance-weighted
    bound, the posterior's entropy, the log prior density of the mean (all in nats) and the log of the root mean squared error.
    If the images' `posterior`, with batch shape (n, latents), is given, the encoder is not run.
    """
    device, training = next(vae.parameters()).device, vae.training
    vae.eval()
    rows: list[Tensor] = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        x = to_unit(images[batch].to(device))
        if posterior is None:
            q = vae.posterior(x)
        else:
            q = Normal(posterior.mean[batch].to(device), posterior.stddev[batch].to(device), validate_args=False)
        rows.append(image_statistics(vae, x, q, noise(vae.prior.latents).to(device)).cpu())
    vae.train(training)
    return torch.cat(rows)


def noise(latents: int) -> Float[Tensor, "draws {latents}"]:
    """Return the fixed standard normal noise of the importance-weighted bound."""
    return torch.randn(DRAWS, latents, generator=torch.Generator().manual_seed(0))


def image_statistics(
    vae: VAE, x: Float[Tensor, "n c h w"], posterior: Normal, draws: Float[Tensor, "k latents"]
) -> Float[Tensor, "n s"]:
    """Return the `statistics` of images in [0, 1] with this posterior."""
    z = posterior.mean + posterior.stddev * draws[:, None]
    log_likelihood = vae.decode(z.flatten(0, 1)).log_prob(x.repeat(len(draws), 1, 1, 1)).unflatten(0, (len(draws), len(x)))
    log_weight = log_likelihood + vae.prior.log_prob(z) - posterior.log_prob(z).sum(-1)
    decoded = vae.decode(posterior.mean)
    error = (decoded.mean - x).square().flatten(1).mean(1).clamp_min(1e-8)
    scalars = [
        decoded.log_prob(x),
        (posterior.log_prob(z).sum(-1) - vae.prior.log_prob(z)).mean(0),
        log_weight.logsumexp(0) - math.log(len(draws)),
        posterior.entropy().sum(-1),
        vae.prior.log_prob(posterior.mean),
        0.5 * error.log(),
    ]
    return torch.cat([posterior.mean, torch.stack(scalars, 1)], 1)


def fit_detector(vae: VAE, training: Images, held_out: Images, components: int = 20, seed: int = 0) -> Detector:
    """Fit a detector to training images (the first 20,000) and calibrate it on held-out ones.

    Raises ValueError if either are fewer than 20.
    """
    for name, images in (("training", training), ("held-out training", held_out)):
        if len(images) < MIN_IMAGES:
            raise ValueError(
                f"an anomaly score needs at least {MIN_IMAGES} {name} images; got {len(images)}. Use a larger data set."
            )
    from sklearn.mixture import GaussianMixture

    values = statistics(vae, training[:MAX_TRAINING_IMAGES])
    centre = values.median(0).values
    # A robust standard deviation: 90 % of a normal distribution spans 3.29 of them.
    scale = ((values.quantile(0.95, 0) - values.quantile(0.05, 0)) / 3.29).clamp_min(1e-6)
    v = ((values - centre) / scale).clamp(-30, 30).double().numpy()
    # At least four images per free parameter of a covariance. The ridge keeps the covariances invertible.
    components = max(1, min(components, len(v) // (2 * v.shape[1] ** 2)))
    mixture = GaussianMixture(components, covariance_type="full", reg_covar=1e-3, random_state=seed, max_iter=200).fit(v)
    parts = (mixture.weights_, mixture.means_, mixture.precisions_cholesky_)
    weight, mean, precision = (torch.from_numpy(part).double().contiguous() for part in parts)
    detector = Detector(centre, scale, weight, mean, precision, torch.zeros(0, dtype=torch.float64))
    return replace(detector, calibration=detector.score(statistics(vae, held_out)).sort().values)
