"""Agreement of `latentscape evaluate` with pythae and with a float64 computation from the definitions.

Run by hand:

    pip install pythae==0.1.2
    python tests/bench/agreement.py DATA [--json]

DATA is the folder of Fashion-MNIST's IDX files. Its test images are binarized as in `evaluate`, with seed 0.

Method:
- `pythae`: `core.train` trains a VAE with pythae's default networks on 20,000 images. The weights are copied into pythae's
  model. Compared are the posterior, the ELBO (pythae's loss function with our noise) and the importance-sampled
  log-likelihood (pythae's `get_nll`, with its own noise) of 50 images with 1,000 samples.
- `fashion-mnist-binarized`: the log-likelihood of 8 images by the pretrained model with 1,000 samples, compared with a float64
  computation. It uses SciPy's densities for likelihood and posterior. The flow prior's density is the normal density of the
  noise times the Jacobian determinant, by automatic differentiation. The samples are other ones, from a proposal whose
  standard deviation is 1.1 times the posterior's.

Printed are maximum differences, the relative difference of the ELBO, and ELBOs and log-likelihoods in nats.
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
    """Maximum difference of means and standard deviations, relative difference of the ELBO, and both log-likelihoods."""
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
        posterior, output = ours.posterior(x), theirs.encoder(x)
        z = posterior.mean + posterior.stddev * noise
        loss = theirs.loss_function(theirs.decoder(z).reconstruction, x, output.embedding, output.log_covariance, z)[0]
        elbo = ours.elbo(x, noise).value.mean()
        estimate = importance.log_likelihood(ours, images, SAMPLES)
        torch.manual_seed(2)
        return {
            "posterior_difference": max(
                (posterior.mean - output.embedding).abs().max().item(),
                (posterior.stddev - (0.5 * output.log_covariance).exp()).abs().max().item(),
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
    """Our log-likelihood of a Bernoulli VAE with a flow prior, and that from the definitions; means over images."""
    assert isinstance(vae.prior, FlowPrior)
    flow = vae.prior.flow.double()

    def to_noise(z: Tensor) -> Tensor:
        return flow().transform(z)

    jacobian = torch.func.vmap(torch.func.jacrev(to_noise))
    random = np.random.default_rng(7)
    log_likelihoods = []
    for image in images:
        x = to_unit(image[None])
        with torch.no_grad():
            posterior = vae.posterior(x)
        mean, sigma = posterior.mean.double().numpy(), widening * posterior.stddev.double().numpy()
        z = random.normal(mean, sigma, size=(SAMPLES, mean.shape[1]))
        proposal = stats.norm.logpdf(z, mean, sigma).sum(1)
        with torch.no_grad():
            latents = torch.from_numpy(z)
            logits = vae.decoder(latents.float()).double().flatten(1).numpy()
            noise = to_noise(latents).numpy()
            determinant = torch.linalg.slogdet(jacobian(latents)).logabsdet.numpy()
        prior = stats.norm.logpdf(noise).sum(1) + determinant
        likelihood = stats.bernoulli.logpmf(x.flatten(1).numpy().astype(int), special.expit(logits)).sum(1)
        log_likelihoods.append(special.logsumexp(likelihood + prior - proposal) - math.log(SAMPLES))
    vae.prior.float()
    estimate = importance.log_likelihood(vae, images, SAMPLES)
    return {"log_likelihood": estimate.value.mean().item(), "from_the_definitions": float(np.mean(log_likelihoods))}


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
