"""The named endpoints, for gradio_client and any HTTP client: what the page does, as data."""

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
"""The path of the page that they are declared on."""
MOST = 100
"""Points that one answer may hold."""


def models(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Name, image shape and latents of every model on offer."""
    offered = [catalogue[name] for name in catalogue.names]
    return [
        {"name": e.name, "shape": list(e.bundle.preprocessing.shape), "latents": e.bundle.vae.prior.latents} for e in offered
    ]


def decode_latents(catalogue: Catalogue, model: str, z: list[float]) -> Image.Image:
    """The decoder's picture at z, at the model's own size."""
    bundle = catalogue[model].bundle
    return to_pil(decode(bundle, parse_latents(bundle, z))[0])


def encode_image(catalogue: Catalogue, model: str, image: str) -> dict[str, Any]:
    """What `latentscape encode` says of a picture file."""
    bundle = catalogue[model].bundle
    return describe(bundle, seen(bundle, image))[0]


def anomaly(catalogue: Catalogue, model: str, image: str) -> dict[str, Any]:
    """How odd a picture file is for a model: p_value, the share of normal images at least as odd; score, larger for odder; and
    the verdict in words."""
    bundle = catalogue[model].bundle
    found = bundle.anomaly(seen(bundle, image))
    assert bundle.detector is not None
    p_value = found.p_value.item()
    return {"p_value": p_value, "score": found.score.item(), "verdict": verdict(p_value, len(bundle.detector))}


def seen(bundle: core.Bundle, image: str) -> torch.Tensor:
    """What a model sees of an uploaded picture file, (1, C, H, W)."""
    if not image:
        raise ValueError("image is missing; send a picture file.")
    if not Path(image).is_file():
        raise ValueError("no image file came with the request; send it anew.")
    # As bytes, so that an error names no path of the server.
    return prepare(bundle, core.read_image(Path(image).read_bytes())).image[None]


def sample(catalogue: Catalogue, model: str, count: int = 1, seed: int = 0) -> list[list[float]]:
    """Latents of so many draws from a model's prior (at most 100), always the same for one seed; /decode draws them."""
    prior = catalogue[model].bundle.vae.prior
    generator = torch.Generator().manual_seed(whole("seed", seed, 0, 2**31 - 1))
    return prior.sample(whole("count", count, 1, MOST), generator).tolist()


def interpolate(
    catalogue: Catalogue, model: str, start: list[float], end: list[float], steps: int = 10, method: str = "linear"
) -> list[list[float]]:
    """A path of so many latents (2 to 100), both ends included, along the straight line ("linear") or the great circle
    ("spherical")."""
    bundle = catalogue[model].bundle
    check_choice("method", method, dict.fromkeys(["linear", "spherical"]))
    first, last = (parse_latents(bundle, point)[0] for point in (start, end))
    return core.interpolate(first, last, whole("steps", steps, 2, MOST), method).tolist()  # pyright: ignore[reportArgumentType]


def neighbours(catalogue: Catalogue, model: str, z: list[float], count: int = 10) -> list[dict[str, Any]]:
    """The gallery images whose encodings lie nearest to z (at most 100), nearest first: index, distance, place on the map,
    labels, and the name of the file that each was, where that is known."""
    bundle = catalogue[model].bundle
    gallery = bundle.gallery
    if gallery is None:
        raise ValueError(f"{model} has no gallery, so there are no images near to anything.")
    wanted = min(whole("count", count, 1, MOST), len(gallery))
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


def whole(name: str, value: Any, least: int, most: int) -> int:
    """A whole number within bounds; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}; got {value!r:.100}.")
    return value


def build(catalogue: Catalogue) -> None:
    """Declare the endpoints on a page, which says where they are described; nothing else of them is seen."""

    def answer(function: Any, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            try:
                return function(catalogue, *arguments)
            except ValueError as error:
                raise gr.Error(str(error), print_exception=False) from error

        # What is left of the function's own signature and docstring is what a client is told; the name is that of the tool.
        (_, *parameters), result = signature(function).parameters.values(), signature(function).return_annotation
        call.__name__, call.__doc__ = name, function.__doc__
        call.__signature__ = Signature(parameters, return_annotation=result)  # pyright: ignore[reportFunctionMemberAccess]
        call.__annotations__ = {**{each.name: each.annotation for each in parameters}, "return": result}
        return call

    gr.HTML('<p>What each endpoint takes and gives: <a href="gradio_api/info">gradio_api/info</a></p>')
    with gr.Row(visible=False):
        model, z = gr.Textbox(label="model"), gr.JSON(label="z")
        # Of itself this component says nothing of what it holds, which tools must.
        z.api_info = lambda: {"type": "array", "items": {"type": "number"}, "description": "one number per latent"}
        image, listing = gr.File(label="image", type="filepath"), gr.JSON(label="models")
        picture, record = gr.Image(label="picture", format="png", type="pil"), gr.JSON(label="encoding")
        oddity = gr.JSON(label="anomaly")
        button = gr.Button()
        button.click(answer(models, "models"), None, listing, api_name="models", queue=False)
        button.click(answer(decode_latents, "decode"), [model, z], picture, api_name="decode", queue=False)
        button.click(answer(encode_image, "encode"), [model, image], record, api_name="encode", queue=False)
        button.click(answer(anomaly, "anomaly"), [model, image], oddity, api_name="anomaly", queue=False)
    for function in (sample, interpolate, neighbours):
        gr.api(answer(function, function.__name__), api_name=function.__name__, queue=False)
