"""The model card: a bundle's README.md, generated from its config.json."""

import json
from typing import Any

from core.bundle.contact_sheets import CAPTIONS
from core.bundle.export import OPSET

TAGS = ["variational-autoencoder", "vae", "image-generation", "latent-space", "onnx", "latentscape"]
METRICS = {
    "elbo": "ELBO, nats per image",
    "log_likelihood": "log-likelihood term, nats per image",
    "kl": "KL term, nats per image",
    "nll": "-log p(x) by importance sampling, nats per image",
    "bits_per_dim": "bits per dimension",
    "reconstruction_rmse": "root mean squared error of reconstructions, pixels in 0…1",
    "aggregated_posterior_mismatch": "energy distance of aggregated posterior and prior",
}
"""Evaluation figures of config.json in the model-index of the front matter; undefined ones are omitted."""


def model_card(config: dict[str, Any], source: str | None = None) -> str:
    """Return the card as Markdown with front matter for model hubs.

    `source` is the argument that opens the model, by default its name.
    """
    source = source or config["name"]
    architecture, evaluation, training = config["architecture"], config["evaluation"], config["training"]
    rows = figures(config)
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    notes = f"\n{training['notes']}\n" if training.get("notes") else ""
    counts = "The number of training images is not recorded."
    if {"images", "held_out"} <= training.keys():
        counts = "{images:,} training images and {held_out:,} more to choose the checkpoint by; no test image was used.".format(
            **training
        )
    return f"""{front_matter(config)}

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
{pictures(config)}
## Training

{"".join(stage(record) for record in stages(training))}
{counts}

## Use

```
latentscape explore {source}
```

```python
import core

bundle = core.load("{source}")
picture = bundle.vae.decode(bundle.vae.prior.sample(1)).mean
```

For any ONNX runtime (opset {OPSET}): `decoder.onnx` maps `z` (N, {architecture["latents"]}) to pictures in [0, 1],
`encoder.onnx` maps pictures `x` to `mean` and `log_variance`.
"""


def pictures(config: dict[str, Any]) -> str:
    """Return the section with the contact sheets, or an empty text if the bundle has no gallery."""
    if not config.get("gallery"):
        return ""
    shown = "\n\n".join(f"![{caption}]({file})\n\n{caption}." for file, caption in CAPTIONS.items())
    return f"\n## Pictures\n\n{shown}\n"


def front_matter(config: dict[str, Any]) -> str:
    """Return the YAML front matter for the hub. All values are written as JSON, so names cannot inject YAML."""
    evaluation = config["evaluation"]
    metrics = [
        {"type": key, "name": name, "value": round(evaluation[key], 4)}  # rounded, as YAML 1.1 reads 1e-05 as a string
        for key, name in METRICS.items()
        if evaluation.get(key) is not None
    ]
    if config["map"]:
        metrics.append({"type": "trustworthiness", "name": "the map's", "value": round(config["map"]["trustworthiness"], 4)})
    dataset = {
        "type": config["name"],
        "name": f"{config['name']}, all {evaluation['images']:,} {evaluation['split']} images",
        "split": evaluation["split"],
    }
    task = {"type": "unconditional-image-generation", "name": "Unconditional image generation"}
    results = [{"name": config["name"], "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}]
    fields = {"license": config.get("license", "unknown"), "tags": TAGS, "model-index": results}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}" for key, value in fields.items()]
    return "\n".join(["---", "library_name: latentscape", "pipeline_tag: unconditional-image-generation", *lines, "---"])


def scores(evaluation: dict[str, Any], latents: int) -> list[tuple[str, str]]:
    """Return the figures of an evaluation as (name, text)."""
    bits, nll, separation = (evaluation.get(key) for key in ("bits_per_dim", "nll", "disentanglement"))
    rows = [
        ("ELBO", f"{evaluation['elbo']:.2f} nats per image"),
        ("log-likelihood term", f"{evaluation['log_likelihood']:.2f} nats"),
        ("KL term", f"{evaluation['kl']:.2f} nats"),
        ("active latents", f"{evaluation['active_units']} of {latents}"),
        ("bits per dimension", "not defined for this likelihood on these pixels" if bits is None else f"{bits:.3f}"),
    ]
    if nll is not None:
        samples, error, chance = (evaluation[f"nll_{key}"] for key in ("samples", "standard_error", "monte_carlo_error"))
        rows.insert(
            0,
            (
                "-log p(x)",
                f"{nll:.2f} nats, {samples:,} importance samples an image (± {chance:.3f} by them, "
                f"± {error:.2f} by the choice of images)",
            ),
        )
    if "reconstruction_rmse" in evaluation:
        mismatch = evaluation["aggregated_posterior_mismatch"]
        rows += [
            ("reconstruction", f"root mean squared error {evaluation['reconstruction_rmse']:.4f}, pixels in 0…1"),
            ("aggregated posterior against prior", f"energy distance {mismatch:.4f} (0: equal, 1: apart)"),
        ]
    if separation is not None:
        d, c, i = separation["dci"]
        rows += [
            ("MIG", f"{separation['mig']:.3f}"),
            ("FactorVAE score", f"{separation['factor_vae']:.3f}"),
            ("DCI", f"disentanglement {d:.3f}, completeness {c:.3f}, informativeness {i:.3f}"),
        ]
    if quality := evaluation.get("quality"):
        judged = f"precision {quality['precision']:.3f}, recall {quality['recall']:.3f}, FID {quality['fid']:.2f}"
        how = f"decoder means at draws from the prior, against {quality['compared']:,} images, on its classifier's features"
        rows.append(("samples", f"{judged}: {how}"))
        for name, right in quality["accuracy"].items():
            again = quality["accuracy_of_reconstructions"][name]
            sure, sure_real = quality["confident"][name], quality["confident_real"][name]
            rightly = f"rightly {100 * right:.1f} % of images, {100 * again:.1f} % of reconstructions"
            confidently = f"with at least 90 % confidence {100 * sure_real:.1f} % of images, {100 * sure:.1f} % of samples"
            rows.append((f"{name} read by the classifier", f"{rightly}; {confidently}"))
    return rows


def figures(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return all figures of a model as (name, text): evaluation, anomaly detector and map."""
    rows = scores(config["evaluation"], config["architecture"]["latents"])
    if odd := config.get("anomaly"):
        share = f"{100 * odd['false_alarms']:.1f} % of {odd['images']:,} gallery images have a p-value below 0.05"
        rows.append(("anomaly verdict", f"calibrated on {odd['calibrated_on']:,} held-out training images; {share}"))
    if config["map"]:
        rows += [
            ("map", f"{config['map']['method']}, trustworthiness {config['map']['trustworthiness']:.3f}"),
            ("map round trip", f"{100 * config['map']['round_trip']:.2f} % of the map's width"),
        ]
    return rows


def stages(training: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the training records of a model, oldest first."""
    previous = training.get("started_from")
    return [*(stages(previous) if previous else []), training]


def stage(training: dict[str, Any]) -> str:
    """Return the command of a training record as Markdown, with its epochs, time and machine if the record has them."""
    complete = {"epochs", "seconds", "machine"} <= training.keys()
    line = "{epochs:.1f} epochs in {minutes:.1f} minutes on {machine}.\n"
    duration = line.format(**training, minutes=training["seconds"] / 60) if complete else ""
    return f"""
```
{training.get("command", "not recorded")}
```

{duration}"""
