"""The Explore tab: the map, the current point and the sliders.

The browser holds each visitor's state. The functions below answer its requests; each takes and returns JSON.
"""

import asyncio
import base64

import numpy as np
import torch
from torch import Tensor

import core
from explorer.app.catalogue import Catalogue, OpenModel
from explorer.app.onnx_runtime import Runtime
from explorer.app.wire import REQUEST_ERRORS, Answer, Request, check_object, component, error_answer, errors_as_answers, pixels
from explorer.describe import decode, parse_latents

MAX_SAMPLES, MAX_POINTS, MAX_SEARCH = 100, 64, 200
"""Limits of a request: samples, latent vectors, characters of a search."""
SHEET = 64
"""Samples per sheet."""
SIDE = 256
"""Largest side of the current image, in CSS pixels."""
CONSTANTS = {"max_search": MAX_SEARCH, "sheet": SHEET, "side": SIDE}
"""Constants that the page needs: props of the tab."""


def picture_at(model: OpenModel, z: Tensor) -> Answer:
    """The decoded image at z (1, latents), its position on the map, and the gallery image with the nearest posterior mean."""
    bundle = model.bundle
    answer: Answer = {"z": z[0].tolist(), "pixels": pixels(decode(bundle, z))}
    if bundle.map is not None:
        answer["x"], answer["y"] = bundle.map.place(z)[0].tolist()
    if bundle.gallery is not None:
        distance, index = core.neighbours(z, bundle.gallery.mean, 1)
        answer["nearest"] = {"index": index.item(), "distance": distance.item()}
    return answer


@errors_as_answers
def open_model(catalogue: Catalogue, request: Request) -> Answer:
    """{model} → its description: latents, labels, map and files."""
    return catalogue[request["model"]].describe()


@errors_as_answers
def decode_point(catalogue: Catalogue, request: Request) -> Answer:
    """{model, z} → the decoded image at z."""
    model = catalogue[request["model"]]
    return picture_at(model, parse_latents(model.bundle, request["z"]))


async def decode_points(catalogue: Catalogue, request: Request) -> Answer:
    """{model, z: [z, …]} → the decoded images only: for pointer moves, filmstrips and the manifold.

    It is called many times a second by each visitor, so concurrent requests are decoded in one batch.
    """
    try:
        name, points = check_object(request)["model"], request["z"]
        model = catalogue.opened(name) or await asyncio.to_thread(catalogue.__getitem__, name)
        if not isinstance(points, list) or not 1 <= len(points) <= MAX_POINTS:
            got = len(points) if isinstance(points, list) else type(points).__name__
            raise ValueError(f"z must be a list of 1 to {MAX_POINTS} points; got {got}.")
        z = torch.cat([parse_latents(model.bundle, point) for point in points])
        return {"pixels": pixels(await model.batcher(z))}
    except REQUEST_ERRORS as error:
        return error_answer(error)


@errors_as_answers
def decode_image(catalogue: Catalogue, request: Request) -> Answer:
    """{model, index} → the decoded image at the posterior mean of a gallery image."""
    model = catalogue[request["model"]]
    gallery, index = model.bundle.gallery, request["index"]
    if gallery is None or type(index) is not int or not 0 <= index < len(gallery):
        raise ValueError(f"index must be from 0 to {len(gallery) - 1 if gallery else 0}; got {index!r}.")
    answer = picture_at(model, gallery.mean[index][None])
    # The map was fitted to gallery images: their positions are known, and each is its own nearest image.
    answer["x"], answer["y"] = gallery.xy[index].tolist()
    name = {} if gallery.names is None else {"file": gallery.names[index]}
    return {**answer, "nearest": {"index": index, "distance": 0.0}, **name}


@errors_as_answers
def decode_row(catalogue: Catalogue, request: Request) -> Answer:
    """{model, index} → the decoded image at the posterior mean of an encoded image, and its file name."""
    model = catalogue[request["model"]]
    if model.encoded is None:
        raise ValueError(f"{model.name} was opened without --encodings.")
    name, mean = model.encoded.row(request["index"])
    x, y = model.encoded.positions[request["index"]].tolist()
    return {**picture_at(model, mean), "x": x, "y": y, "file": name}


@errors_as_answers
def decode_place(catalogue: Catalogue, request: Request) -> Answer:
    """{model, x, y} → the decoded image at this map position, and the distance to the nearest gallery image on the map."""
    model = catalogue[request["model"]]
    bundle = model.bundle
    if bundle.map is None or bundle.gallery is None:
        raise ValueError(f"{model.name} has no map.")
    xy = torch.tensor([[float(request["x"]), float(request["y"])]])
    if not xy.isfinite().all():
        raise ValueError(f"x and y must be finite; got {xy[0].tolist()}.")
    distance, _ = core.neighbours(xy, bundle.gallery.xy, 1)
    answer = picture_at(model, bundle.map.lift(xy))
    return {**answer, "x": xy[0, 0].item(), "y": xy[0, 1].item(), "gap": distance.item()}


@errors_as_answers
def draw_samples(catalogue: Catalogue, request: Request) -> Answer:
    """{model, seed, temperature, count} → latents sampled from p(z), and their decoded images.

    The temperature scales the distance from the middle: 0 gives the middle, 1 the prior.
    """
    model = catalogue[request["model"]]
    temperature, count, seed = float(request["temperature"]), int(request["count"]), int(request["seed"])
    if not (0 <= temperature <= 2 and 1 <= count <= MAX_SAMPLES and 0 <= seed < 2**31):
        raise ValueError(
            f"temperature must be from 0 to 2, count from 1 to {MAX_SAMPLES}, seed from 0 to 2^31 - 1; "
            f"got {temperature}, {count}, {seed}."
        )
    z = model.middle.lerp(model.bundle.vae.prior.sample(count, torch.Generator().manual_seed(seed)), temperature)
    return {"z": z.tolist(), "pixels": pixels(decode(model.bundle, z))}


@errors_as_answers
def colour(catalogue: Catalogue, request: Request) -> Answer:
    """{model, by} → the file with the values to colour the map by. With "of" = "gallery", the values of the gallery."""
    return catalogue[request["model"]].column(str(request["by"]), request.get("of", "map"))


@errors_as_answers
def find(catalogue: Catalogue, request: Request) -> Answer:
    """{model, text} → the points whose label or file name contains the text: one bit per point, in base64."""
    text = request["text"]
    if not isinstance(text, str) or not 0 < len(text) <= MAX_SEARCH:
        raise ValueError(f"text must be a string of 1 to {MAX_SEARCH} characters.")
    found = catalogue[request["model"]].find(text)
    return {"count": int(found.sum()), "found": base64.b64encode(np.packbits(found, bitorder="little").tobytes()).decode()}


def build(catalogue: Catalogue, runtime: Runtime) -> None:
    """Add the tab to the page."""
    functions = (open_model, decode_point, decode_points, decode_image, decode_row, decode_place, draw_samples, colour, find)
    component("explore", catalogue, *functions, encoded=catalogue.encoded, runtime=runtime.describe(), **CONSTANTS)
