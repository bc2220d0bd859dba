"""The model card: a bundle's README.md, written from its config alone."""

from typing import Any


def model_card(config: dict[str, Any]) -> str:
    """Markdown with the front matter that model hubs read."""
    architecture, evaluation, training = config["architecture"], config["evaluation"], config["training"]
    bits = evaluation["bits_per_dim"]
    rows = [
        ("ELBO", f"{evaluation['elbo']:.2f} nats per image"),
        ("log-likelihood term", f"{evaluation['log_likelihood']:.2f} nats"),
        ("KL term", f"{evaluation['kl']:.2f} nats"),
        ("active latents", f"{evaluation['active_units']} of {architecture['latents']}"),
        ("bits per dimension", "not defined for this likelihood on these pixels" if bits is None else f"{bits:.3f}"),
    ]
    if config["map"]:
        rows += [
            ("map", f"{config['map']['method']}, trustworthiness {config['map']['trustworthiness']:.3f}"),
            ("map round trip", f"{100 * config['map']['round_trip']:.2f} % of the map's width"),
        ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    notes = f"\n{training['notes']}\n" if training.get("notes") else ""
    return f"""---
library_name: latentscape
tags: [variational-autoencoder, image-generation, latent-space]
---

# {config["name"]}

A variational autoencoder: {architecture["channels"]}x{architecture["height"]}x{architecture["width"]} images,
{architecture["latents"]} latents, {architecture["network"]} networks, {architecture["likelihood"]} likelihood,
{architecture["prior"]} prior.
{notes}
## Figures

On all {evaluation["images"]:,} {evaluation["split"]} images, each once, with one draw of z per image and a KL weight of 1.
Likelihood: {evaluation["likelihood"]}.

| figure | value |
|---|---|
{table}

## Training

{"".join(stage(record) for record in stages(training))}
{training["images"]:,} training images and {training["held_out"]:,} more to choose the checkpoint by; no test image was used.

## Use

```
latentscape explore {config["name"]}
```

```python
import core

bundle = core.load("{config["name"]}")
picture = bundle.vae.decode(bundle.vae.prior.sample(1)).mean
```
"""


def stages(training: dict[str, Any]) -> list[dict[str, Any]]:
    """The training records of a model, from its first weights to its last."""
    before = training.get("started_from")
    return [*(stages(before) if before else []), training]


def stage(training: dict[str, Any]) -> str:
    """One command, and what it took."""
    return f"""
```
{training["command"]}
```

{training["epochs"]:.1f} epochs in {training["seconds"] / 60:.1f} minutes on {training["machine"]}.
"""
