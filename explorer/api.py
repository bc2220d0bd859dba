"""The named endpoints: /models, /decode and /encode, for gradio_client and any HTTP client."""

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

import core
from core.images import to_pil
from explorer.catalogue import Catalogue
from explorer.describe import decode, describe, parse_latents, prepare


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
    if not image:
        raise ValueError("image is missing; send a picture file.")
    if not Path(image).is_file():
        raise ValueError("no image file came with the request; send it anew.")
    # As bytes, so that an error names no path of the server.
    return describe(bundle, prepare(bundle, core.read_image(Path(image).read_bytes())).image[None])[0]


def build(catalogue: Catalogue) -> None:
    """Add the endpoints to the page; nothing of them is seen."""

    def answer(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            try:
                return function(catalogue, *arguments)
            except ValueError as error:
                raise gr.Error(str(error), print_exception=False) from error

        return call

    with gr.Row(visible=False):
        model, z = gr.Textbox(label="model"), gr.JSON(label="z")
        image, listing = gr.File(label="image", type="filepath"), gr.JSON(label="models")
        picture, record = gr.Image(label="picture", format="png", type="pil"), gr.JSON(label="encoding")
        button = gr.Button()
        button.click(answer(models), None, listing, api_name="models", queue=False)
        button.click(answer(decode_latents), [model, z], picture, api_name="decode", queue=False)
        button.click(answer(encode_image), [model, image], record, api_name="encode", queue=False)
