"""The invertible map, measured: `lift` against the nearest gallery point and umap's `inverse_transform`, `place` against
`umap.transform`.

Run by hand:  python tests/bench/lift.py [BUNDLE] [--json]      (about five minutes: umap is the slow one)

Method. The gallery's latents are split, every fifth image being held out. UMAP (umap-learn, the settings of `core.fit_map`)
is fitted to the rest, and a `NeighbourMap` is built on the same fit.

lift_error            held-out latents are placed (`place`), the places lifted (`lift`) and decoded; squared difference to
                      the real image in [0, 1], summed over pixels, mean over images
nearest_error         the same, but decoding the latent of the gallery point that is nearest on the map
encoder_error         the same with the image's own posterior mean: what no map can beat
lift_gain             1 - lift_error / nearest_error
place_vs_transform    median distance between `place` and `umap.transform` of the held-out latents, by the map's width
seconds per point     `lift` of all held-out places in one call; `inverse_transform` of the first five
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
    pictures = torch.cat([bundle.vae.decode(part).mean for part in z.split(512)])
    return float((pictures - to_unit(images)).square().flatten(1).sum(1).mean())


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

    places = fitted.place(latents[held_out])
    start = time.perf_counter()
    lifted = fitted.lift(places)
    lift_seconds = (time.perf_counter() - start) / len(places)
    nearest = latents[~held_out][core.neighbours(places, xy, 1)[1][:, 0]]
    transformed = torch.as_tensor(reducer.transform(latents[held_out].numpy()))
    reducer.inverse_transform(places[:1].numpy())  # numba compiles it at the first call
    start = time.perf_counter()
    reducer.inverse_transform(places[:5].numpy())
    inverse_seconds = (time.perf_counter() - start) / 5

    lift_error, nearest_error = (image_error(bundle, z, images[held_out]) for z in (lifted, nearest))
    result = {
        "lift_error": lift_error,
        "nearest_error": nearest_error,
        "encoder_error": image_error(bundle, latents[held_out], images[held_out]),
        "lift_gain": 1 - lift_error / nearest_error,
        "place_vs_transform": float((places - transformed).norm(dim=1).median()) / width(xy),
        "lift_seconds_per_point": lift_seconds,
        "inverse_transform_seconds_per_point": inverse_seconds,
        "times_faster": inverse_seconds / lift_seconds,
    }
    print(json.dumps(result) if arguments.json else "\n".join(f"{key}: {value:.6g}" for key, value in result.items()))


if __name__ == "__main__":
    main()
