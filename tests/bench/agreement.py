"""Whether the figures of `latentscape evaluate` are those that others would compute.

    pip install pythae==0.1.2
    python tests/bench/agreement.py DATA [--json]

DATA is the folder of Fashion-MNIST's IDX files; its test images are binarized as `evaluate` does, with seed 0.

- `pythae`: a VAE of its default networks, trained here on 20,000 images by `core.train`, its weights copied into pythae's own.
  Compared are the posterior, the ELBO (pythae's loss function at our draws) and the importance-sampled log-likelihood
  (pythae's `get_nll`, which draws for itself) of 50 images with 1,000 samples.
- `fashion-mnist-binarized`: the shipped model's log-likelihood, of 8 images with 1,000 samples, against one computed here in
  float64 from the definitions: SciPy's densities for likelihood and posterior; for the flow prior, the normal density of the
  noise that the flow sends to z, times the determinant of that map's Jacobian by automatic differentiation. Other draws, from
  a proposal a tenth wider than the posterior.
"""

import argparse
import json
import math
from typing import Any

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor, nn
from training_speed import plain_vae

import core
from core.data.preprocessing import to_unit
from core.evaluation import importance
from core.model.priors import FlowPrior

SAMPLES = 1000


def against_pythae(training: Tensor, images: Tensor) -> dict[str, float]:
    """Largest difference of means and deviations, relative difference of the ELBO, and both log-likelihoods."""
    from pythae.models import VAE, VAEConfig  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    ours = plain_vae()
    for _ in core.train(ours, training, core.Settings(epochs=1.0, binarization="dynamic")):
        pass
    theirs: Any = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=ours.prior.latents, reconstruction_loss="bce")).eval()
    assert isinstance(ours.encoder, nn.Sequential)
    assert isinstance(ours.decoder, nn.Sequential)
    _, first, _, last = ours.encoder
    assert isinstance(last, nn.Linear)
    _copy(first, theirs.encoder.layers[0][0])
    mean, log_variance = (part.chunk(2) for part in (last.weight, last.bias))
    theirs.encoder.embedding.load_state_dict({"weight": mean[0], "bias": log_variance[0]})
    theirs.encoder.log_var.load_state_dict({"weight": mean[1], "bias": log_variance[1]})
    _copy(ours.decoder[0], theirs.decoder.layers[0][0])
    _copy(ours.decoder[2], theirs.decoder.layers[1][0])
    x = to_unit(images)
    with torch.no_grad():
        noise = torch.randn(len(x), ours.prior.latents, generator=torch.Generator().manual_seed(1))
        posterior, answer = ours.posterior(x), theirs.encoder(x)
        z = posterior.mean + posterior.stddev * noise
        loss = theirs.loss_function(theirs.decoder(z).reconstruction, x, answer.embedding, answer.log_covariance, z)[0]
        elbo = ours.elbo(x, noise).value.mean()
        estimate = importance.log_likelihood(ours, images, SAMPLES)
        torch.manual_seed(2)
        return {
            "posterior_difference": max(
                (posterior.mean - answer.embedding).abs().max().item(),
                (posterior.stddev - (0.5 * answer.log_covariance).exp()).abs().max().item(),
            ),
            "elbo": elbo.item(),
            "elbo_of_pythae": -loss.item(),
            "elbo_relative_difference": abs(elbo.item() + loss.item()) / abs(loss.item()),
            "log_likelihood": estimate.value.mean().item(),
            "log_likelihood_of_pythae": float(theirs.get_nll(x, n_samples=SAMPLES, batch_size=500)),
            "monte_carlo_error": (estimate.standard_error.square().sum().sqrt() / len(x)).item(),
        }


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def from_the_definitions(vae: core.VAE, images: Tensor, widening: float = 1.1) -> dict[str, float]:
    """Both log-likelihoods of a Bernoulli VAE with a flow prior, mean over images."""
    assert isinstance(vae.prior, FlowPrior)
    flow = vae.prior.flow.double()

    def to_noise(z: Tensor) -> Tensor:
        return flow().transform(z)

    jacobian = torch.func.vmap(torch.func.jacrev(to_noise))
    random = np.random.default_rng(7)
    found = []
    for image in images:
        x = to_unit(image[None])
        with torch.no_grad():
            posterior = vae.posterior(x)
        mean, sigma = posterior.mean.double().numpy(), widening * posterior.stddev.double().numpy()
        z = random.normal(mean, sigma, size=(SAMPLES, mean.shape[1]))
        proposal = stats.norm.logpdf(z, mean, sigma).sum(1)
        with torch.no_grad():
            given = torch.from_numpy(z)
            logits = vae.decoder(given.float()).double().flatten(1).numpy()
            noise = to_noise(given).numpy()
            determinant = torch.linalg.slogdet(jacobian(given)).logabsdet.numpy()
        prior = stats.norm.logpdf(noise).sum(1) + determinant
        likelihood = stats.bernoulli.logpmf(x.flatten(1).numpy().astype(int), special.expit(logits)).sum(1)
        found.append(special.logsumexp(likelihood + prior - proposal) - math.log(SAMPLES))
    vae.prior.float()
    estimate = importance.log_likelihood(vae, images, SAMPLES)
    return {"log_likelihood": estimate.value.mean().item(), "from_the_definitions": float(np.mean(found))}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle = core.load("fashion-mnist-binarized")
    training = core.load_data(arguments.data, "train").images
    test = core.load_data(arguments.data, "test").images
    images = bundle.preprocessing.evaluation_images(test)
    assert isinstance(training, Tensor)
    assert isinstance(images, Tensor)
    result = {
        "pythae": against_pythae(training[:20_000], images[:50]),
        "fashion-mnist-binarized": from_the_definitions(bundle.vae, images[:8]),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    for name, figures in result.items():
        print(name, *(f"  {key}: {value:.6g}" for key, value in figures.items()), sep="\n")


if __name__ == "__main__":
    main()
