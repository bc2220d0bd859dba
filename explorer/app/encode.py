"""The Encode tab: encodes a picture from a file, the clipboard, a camera or a drawing."""

import numpy as np
import torch

import core
from explorer.app.catalogue import Catalogue, OpenModel
from explorer.app.wire import Answer, Request, component, errors_as_answers, pixels, uploaded
from explorer.describe import decode, describe, parse_latents, prepare, verdict

NEIGHBOURS = 6
"""Nearest gallery images in the answer."""


@errors_as_answers
def encode_upload(catalogue: Catalogue, request: Request) -> Answer:
    """{model, path, polarity, trim, crop} → the prepared image of an uploaded picture, and its encoding.

    `crop` is left, top, right, bottom as shares of the picture's width and height, or null.
    """
    model = catalogue[request["model"]]
    picture = core.read_image(uploaded(request["path"]).read_bytes())  # bytes, so that an error names no path of the server
    if request.get("crop") is not None:
        picture = picture.crop(crop_box(request["crop"], *picture.size))
    prepared = prepare(model.bundle, picture, request.get("polarity", "auto"), bool(request.get("trim", True)))
    return {"steps": list(prepared.steps), **encoding(model, prepared.image[None])}


@errors_as_answers
def draw_again(catalogue: Catalogue, request: Request) -> Answer:
    """{model, mean, log_variance, seed} → the decoded image of one sample z = mean + sigma * epsilon."""
    bundle = catalogue[request["model"]].bundle
    mean = parse_latents(bundle, request["mean"])
    sigma = (0.5 * parse_latents(bundle, request["log_variance"])).exp()
    seed = int(request["seed"])
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must be from 0 to 2^31 - 1; got {seed}.")
    z = mean + sigma * torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
    return {"z": z[0].tolist(), "pixels": pixels(decode(bundle, z))}


def crop_box(crop: object, width: int, height: int) -> tuple[int, int, int, int]:
    """Convert shares of width and height to a box in pixels, at least one pixel wide and high.

    Raises ValueError unless 0 <= left < right <= 1 and 0 <= top < bottom <= 1.
    """
    try:
        left, top, right, bottom = (float(share) for share in crop)  # pyright: ignore[reportGeneralTypeIssues]
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ValueError(f"crop must be left, top, right, bottom as increasing shares from 0 to 1; got {crop}.") from error
    x, y = min(int(left * width), width - 1), min(int(top * height), height - 1)
    return x, y, max(round(right * width), x + 1), max(round(bottom * height), y + 1)


def encoding(model: OpenModel, image: torch.Tensor) -> Answer:
    """Posterior, ELBO terms, reconstruction, error map, verdict and nearest images of a prepared image (1, C, H, W)."""
    bundle = model.bundle
    record = describe(bundle, image)[0]
    mean = torch.tensor([record["mean"]])
    reconstruction = decode(bundle, mean)
    error = (image.int() - reconstruction.int()).abs().amax(1, keepdim=True).to(torch.uint8)
    answer = {
        **record,
        "seen": pixels(image),
        "reconstruction": pixels(reconstruction),
        "error_map": pixels(error),
        "rmse": float((image.float() - reconstruction.float()).square().mean().sqrt() / 255),
    }
    if bundle.detector is not None:
        answer["verdict"] = verdict(record["p_value"], len(bundle.detector))
    if bundle.gallery is not None:
        k = min(NEIGHBOURS, len(bundle.gallery))
        distance, index = core.neighbours(mean, bundle.gallery.mean, k)
        answer["neighbours"] = [
            {"index": i, "distance": d} for i, d in zip(index[0].tolist(), distance[0].tolist(), strict=True)
        ]
        scores = bundle.gallery.labels.get("log_likelihood")
        if scores is not None:
            answer["rank"] = float(np.mean(scores < record["log_likelihood"]))
    return answer


def build(catalogue: Catalogue, max_upload: int) -> None:
    """Add the tab to the page."""
    component("encode", catalogue, encode_upload, draw_again, max_upload=max_upload)
