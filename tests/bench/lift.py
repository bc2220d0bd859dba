"""Accuracy and speed of the map's `lift` and `place`, compared with the nearest gallery point and with umap.

Run by hand:  python tests/bench/lift.py [BUNDLE] [--json]      (about five minutes, most of it umap)

Method: every fifth image of the gallery is held out. UMAP (umap-learn, with the settings of `core.fit_map`) is fitted to the
other latents, and a `NeighbourMap` is built on the same fit.

lift_error            held-out latents are placed, lifted and decoded; squared error to the real image in [0, 1], summed over
                      pixels, mean over images
nearest_error         the same for the latents of the gallery point nearest on the map
encoder_error         the same for the image's own posterior mean; the lower bound for every map
lift_gain             1 - lift_error / nearest_error
place_vs_transform    median distance between `place` and `umap.transform` of held-out latents, relative to the map's width
lift_seconds_per_point, inverse_transform_seconds_per_point
                      `lift` of all held-out positions in one call; umap's `inverse_transform` of the first five
times_faster          ratio of the two
"""

import argparse
import json
import time
import warnings

import torch

import core
from core.data.preprocessing import to_unit
from core.latent import projection
from core.latent.projection import NeighbourMap, width


@torch.no_grad()
def image_error(bundle: core.Bundle, z: torch.Tensor, images: torch.Tensor) -> float:
    """Squared difference between decoded latents and images in [0, 1], summed over pixels, mean over images."""
    decoded = torch.cat([bundle.vae.decode(part).mean for part in z.split(512)])
    return float((decoded - to_unit(images)).square().flatten(1).sum(1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="fashion-mnist")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    bundle = core.load(arguments.bundle)
    assert bundle.gallery is not None
    latents, images = bundle.gallery.mean, bundle.gallery.images
    held_out = torch.arange(len(latents)) % 5 == 0
    reducer = projection.make_umap(int((~held_out).sum()))
    xy = torch.as_tensor(reducer.fit_transform(latents[~held_out].numpy()))
    fitted = NeighbourMap(latents[~held_out], xy)

    positions = fitted.place(latents[held_out])
    start = time.perf_counter()
    lifted = fitted.lift(positions)
    lift_seconds = (time.perf_counter() - start) / len(positions)
    nearest = latents[~held_out][core.neighbours(positions, xy, 1)[1][:, 0]]
    transformed = torch.as_tensor(reducer.transform(latents[held_out].numpy()))
    reducer.inverse_transform(positions[:1].numpy())  # the first call compiles it
    start = time.perf_counter()
    reducer.inverse_transform(positions[:5].numpy())
    inverse_seconds = (time.perf_counter() - start) / 5

    lift_error, nearest_error = (image_error(bundle, z, images[held_out]) for z in (lifted, nearest))
    result = {
        "lift_error": lift_error,
        "nearest_error": nearest_error,
        "encoder_error": image_error(bundle, latents[held_out], images[held_out]),
        "lift_gain": 1 - lift_error / nearest_error,
        "place_vs_transform": float((positions - transformed).norm(dim=1).median()) / width(xy),
        "lift_seconds_per_point": lift_seconds,
        "inverse_transform_seconds_per_point": inverse_seconds,
        "times_faster": inverse_seconds / lift_seconds,
    }
    print(json.dumps(result) if arguments.json else "\n".join(f"{key}: {value:.6g}" for key, value in result.items()))


if __name__ == "__main__":
    main()
