"""The named API endpoints, for gradio_client and other HTTP clients."""

from inspect import Signature, signature
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

import core
from core.data.preprocessing import to_pil
from core.model.architecture import check_choice
from explorer.app.catalogue import Catalogue
from explorer.describe import decode, describe, parse_latents, prepare, verdict

PAGE = "endpoints"
"""Path of the page on which the endpoints are declared."""
MAX_POINTS = 100
"""Most latent vectors or images in one answer."""


def models(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Name, image shape and number of latents of every model."""
    offered = [catalogue[name] for name in catalogue.names]
    return [
        {"name": e.name, "shape": list(e.bundle.preprocessing.shape), "latents": e.bundle.vae.prior.latents} for e in offered
    ]


def decode_latents(catalogue: Catalogue, model: str, z: list[float]) -> Image.Image:
    """The decoded image at z, at the model's size."""
    bundle = catalogue[model].bundle
    return to_pil(decode(bundle, parse_latents(bundle, z))[0])


def encode_image(catalogue: Catalogue, model: str, image: str) -> dict[str, Any]:
    """Posterior, ELBO and map position of a picture file, as `latentscape encode` prints them."""
    bundle = catalogue[model].bundle
    return describe(bundle, prepared(bundle, image))[0]


def anomaly(catalogue: Catalogue, model: str, image: str) -> dict[str, Any]:
    """How unusual a picture file is for a model: score (larger is more unusual), p_value (the share of normal images with this
    score or a larger one) and the verdict in words."""
    bundle = catalogue[model].bundle
    found = bundle.anomaly(prepared(bundle, image))
    assert bundle.detector is not None
    p_value = found.p_value.item()
    return {"p_value": p_value, "score": found.score.item(), "verdict": verdict(p_value, len(bundle.detector))}


def prepared(bundle: core.Bundle, image: str) -> torch.Tensor:
    """An uploaded picture file, prepared for the model: (1, C, H, W)."""
    if not image:
        raise ValueError("image is missing; send a picture file.")
    if not Path(image).is_file():
        raise ValueError("no image file came with the request; send it anew.")
    # As bytes, so that an error names no path of the server.
    return prepare(bundle, core.read_image(Path(image).read_bytes())).image[None]


def sample(catalogue: Catalogue, model: str, count: int = 1, seed: int = 0) -> list[list[float]]:
    """Latents sampled from a model's prior: `count` of them, at most 100. The seed fixes them. /decode gives their images."""
    prior = catalogue[model].bundle.vae.prior
    generator = torch.Generator().manual_seed(check_integer("seed", seed, 0, 2**31 - 1))
    return prior.sample(check_integer("count", count, 1, MAX_POINTS), generator).tolist()


def interpolate(
    catalogue: Catalogue, model: str, start: list[float], end: list[float], steps: int = 10, method: str = "linear"
) -> list[list[float]]:
    """A path of `steps` latents (2 to 100) from start to end, on a straight line ("linear") or a great circle ("spherical")."""
    bundle = catalogue[model].bundle
    check_choice("method", method, dict.fromkeys(["linear", "spherical"]))
    first, last = (parse_latents(bundle, point)[0] for point in (start, end))
    return core.interpolate(first, last, check_integer("steps", steps, 2, MAX_POINTS), method).tolist()  # pyright: ignore[reportArgumentType]


def neighbours(catalogue: Catalogue, model: str, z: list[float], count: int = 10) -> list[dict[str, Any]]:
    """The `count` gallery images (at most 100) with posterior means nearest to z, nearest first: index, distance, map position,
    labels, and the file name if it is known."""
    bundle = catalogue[model].bundle
    gallery = bundle.gallery
    if gallery is None:
        raise ValueError(f"{model} has no gallery, so it has no images to compare with.")
    wanted = min(check_integer("count", count, 1, MAX_POINTS), len(gallery))
    distances, rows = (found[0].tolist() for found in core.neighbours(parse_latents(bundle, z), gallery.mean, wanted))
    return [
        {
            "index": row,
            "distance": distance,
            "x": gallery.xy[row, 0].item(),
            "y": gallery.xy[row, 1].item(),
            "labels": {name: values[row].item() for name, values in gallery.labels.items()},
            **({} if gallery.names is None else {"file": gallery.names[row]}),
        }
        for row, distance in zip(rows, distances, strict=True)
    ]


def check_integer(name: str, value: Any, least: int, most: int) -> int:
    """Check a whole number. Raises ValueError if it is another type or out of bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}; got {value!r:.100}.")
    return value


def build(catalogue: Catalogue) -> None:
    """Declare the endpoints on a page of their own, which links to their description."""

    def answer(function: Any, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            try:
                return function(catalogue, *arguments)
            except ValueError as error:
                raise gr.Error(str(error), print_exception=False) from error

        # Clients see this signature and docstring, without the catalogue; the name is the tool's name.
        (_, *parameters), result = signature(function).parameters.values(), signature(function).return_annotation
        call.__name__, call.__doc__ = name, function.__doc__
        call.__signature__ = Signature(parameters, return_annotation=result)  # pyright: ignore[reportFunctionMemberAccess]
        call.__annotations__ = {**{each.name: each.annotation for each in parameters}, "return": result}
        return call

    gr.HTML('<p>What each endpoint takes and gives: <a href="gradio_api/info">gradio_api/info</a></p>')
    with gr.Row(visible=False):
        model, z = gr.Textbox(label="model"), gr.JSON(label="z")
        # By default this component has no schema, and tools need one.
        z.api_info = lambda: {"type": "array", "items": {"type": "number"}, "description": "one number per latent"}
        image, listing = gr.File(label="image", type="filepath"), gr.JSON(label="models")
        picture, record = gr.Image(label="picture", format="png", type="pil"), gr.JSON(label="encoding")
        unusual = gr.JSON(label="anomaly")
        button = gr.Button()
        button.click(answer(models, "models"), None, listing, api_name="models", queue=False)
        button.click(answer(decode_latents, "decode"), [model, z], picture, api_name="decode", queue=False)
        button.click(answer(encode_image, "encode"), [model, image], record, api_name="encode", queue=False)
        button.click(answer(anomaly, "anomaly"), [model, image], unusual, api_name="anomaly", queue=False)
    for function in (sample, interpolate, neighbours):
        gr.api(answer(function, function.__name__), api_name=function.__name__, queue=False)
