"""The Explore tab: the map, the current picture and its sliders.

The page keeps each visitor's state; what it asks of the server are the plain functions below, over JSON.
"""

import asyncio
import base64

import numpy as np
import torch
from torch import Tensor

import core
from explorer.app.catalogue import Catalogue, OpenModel
from explorer.app.onnx_runtime import Runtime
from explorer.app.wire import WRONG, Answer, Request, check_object, component, pixels, safe, told
from explorer.describe import decode, parse_latents

MAX_SAMPLES = 100
MAX_POINTS = 64
MAX_SEARCH = 200
SHEET = 64
"""Samples on a sheet."""
SIDE = 256
"""CSS pixels of the current picture, at most."""
CONSTANTS = {"max_search": MAX_SEARCH, "sheet": SHEET, "side": SIDE}
"""What the page needs, too: props of the tab."""


def picture_at(exhibit: OpenModel, z: Tensor) -> Answer:
    """The picture at one point (1, latents), its place on the map, and the nearest real image by posterior mean."""
    bundle = exhibit.bundle
    answer: Answer = {"z": z[0].tolist(), "pixels": pixels(decode(bundle, z))}
    if bundle.map is not None:
        answer["x"], answer["y"] = bundle.map.place(z)[0].tolist()
    if bundle.gallery is not None:
        distance, index = core.neighbours(z, bundle.gallery.mean, 1)
        answer["nearest"] = {"index": index.item(), "distance": distance.item()}
    return answer


@safe
def open_model(catalogue: Catalogue, request: Request) -> Answer:
    """{model} → its description: latents, labels, map and files."""
    return catalogue[request["model"]].describe()


@safe
def decode_point(catalogue: Catalogue, request: Request) -> Answer:
    """{model, z} → the picture there."""
    exhibit = catalogue[request["model"]]
    return picture_at(exhibit, parse_latents(exhibit.bundle, request["z"]))


async def decode_points(catalogue: Catalogue, request: Request) -> Answer:
    """{model, z: [z, …]} → the pictures there and nothing else: what a moving hand, filmstrips and the manifold ask for.

    The one function that a crowd calls many times a second: what several visitors ask for meanwhile is drawn at once.
    """
    try:
        name, points = check_object(request)["model"], request["z"]
        exhibit = catalogue.opened(name) or await asyncio.to_thread(catalogue.__getitem__, name)
        if not isinstance(points, list) or not 1 <= len(points) <= MAX_POINTS:
            got = len(points) if isinstance(points, list) else type(points).__name__
            raise ValueError(f"z must be a list of 1 to {MAX_POINTS} points; got {got}.")
        z = torch.cat([parse_latents(exhibit.bundle, point) for point in points])
        return {"pixels": pixels(await exhibit.together(z))}
    except WRONG as error:
        return told(error)


@safe
def decode_image(catalogue: Catalogue, request: Request) -> Answer:
    """{model, index} → the picture at the posterior mean of a gallery image."""
    exhibit = catalogue[request["model"]]
    gallery, index = exhibit.bundle.gallery, request["index"]
    if gallery is None or type(index) is not int or not 0 <= index < len(gallery):
        raise ValueError(f"index must be from 0 to {len(gallery) - 1 if gallery else 0}; got {index!r}.")
    answer = picture_at(exhibit, gallery.mean[index][None])
    # A gallery image lies where the map was fitted, and nothing real is nearer to its mean than itself.
    answer["x"], answer["y"] = gallery.xy[index].tolist()
    name = {} if gallery.names is None else {"file": gallery.names[index]}
    return {**answer, "nearest": {"index": index, "distance": 0.0}, **name}


@safe
def decode_row(catalogue: Catalogue, request: Request) -> Answer:
    """{model, index} → the picture at the posterior mean of an encoded image, and what its file is called."""
    exhibit = catalogue[request["model"]]
    if exhibit.encoded is None:
        raise ValueError(f"{exhibit.name} was opened without --encodings.")
    name, mean = exhibit.encoded.row(request["index"])
    x, y = exhibit.encoded.positions[request["index"]].tolist()
    return {**picture_at(exhibit, mean), "x": x, "y": y, "file": name}


@safe
def decode_place(catalogue: Catalogue, request: Request) -> Answer:
    """{model, x, y} → the picture that belongs at this place of the map, and how far the nearest image's place is."""
    exhibit = catalogue[request["model"]]
    bundle = exhibit.bundle
    if bundle.map is None or bundle.gallery is None:
        raise ValueError(f"{exhibit.name} has no map.")
    xy = torch.tensor([[float(request["x"]), float(request["y"])]])
    if not xy.isfinite().all():
        raise ValueError(f"x and y must be finite; got {xy[0].tolist()}.")
    distance, _ = core.neighbours(xy, bundle.gallery.xy, 1)
    answer = picture_at(exhibit, bundle.map.lift(xy))
    return {**answer, "x": xy[0, 0].item(), "y": xy[0, 1].item(), "gap": distance.item()}


@safe
def draw_samples(catalogue: Catalogue, request: Request) -> Answer:
    """{model, seed, temperature, count} → that many draws from p(z), and their pictures.

    The temperature spreads them: 0 is the middle, 1 is the prior.
    """
    exhibit = catalogue[request["model"]]
    temperature, count, seed = float(request["temperature"]), int(request["count"]), int(request["seed"])
    if not (0 <= temperature <= 2 and 1 <= count <= MAX_SAMPLES and 0 <= seed < 2**31):
        raise ValueError(
            f"temperature must be from 0 to 2, count from 1 to {MAX_SAMPLES}, seed from 0 to 2^31 - 1; "
            f"got {temperature}, {count}, {seed}."
        )
    z = exhibit.middle.lerp(exhibit.bundle.vae.prior.sample(count, torch.Generator().manual_seed(seed)), temperature)
    return {"z": z.tolist(), "pixels": pixels(decode(exhibit.bundle, z))}


@safe
def colour(catalogue: Catalogue, request: Request) -> Answer:
    """{model, by} → where the values lie to colour the map by; those of the gallery, where "of" is "gallery"."""
    return catalogue[request["model"]].column(str(request["by"]), request.get("of", "map"))


@safe
def find(catalogue: Catalogue, request: Request) -> Answer:
    """{model, text} → which points of the map have a label or a name that contains the text: a bit for each, in base64."""
    text = request["text"]
    if not isinstance(text, str) or not 0 < len(text) <= MAX_SEARCH:
        raise ValueError(f"text must be a string of 1 to {MAX_SEARCH} characters.")
    found = catalogue[request["model"]].find(text)
    return {"count": int(found.sum()), "found": base64.b64encode(np.packbits(found, bitorder="little").tobytes()).decode()}


def build(catalogue: Catalogue, runtime: Runtime) -> None:
    """Lay the tab out."""
    functions = (open_model, decode_point, decode_points, decode_image, decode_row, decode_place, draw_samples, colour, find)
    component("explore", catalogue, *functions, encoded=catalogue.encoded, runtime=runtime.describe(), **CONSTANTS)
