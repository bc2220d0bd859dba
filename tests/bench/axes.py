"""Which factor of dSprites each latent encodes: the share of each factor's variance that one latent explains.

Run by hand:  python tests/bench/axes.py [BUNDLE] [--json]

Method: the posterior means of the 10,000 held-out images are computed. For each factor and latent, a step function of the
latent with 20 equally populated steps is fitted. Shapes are 0 or 1 each. An orientation is the sine and cosine of its angle
and of twice its angle.

latent   the latent that explains the largest share
share    its share of the factor's variance, 0 to 1
next     the share of the second-best latent
"""

import argparse
import json

import numpy as np
import torch
from measure import show

import core
from core.data.dsprites import FACTORS, DSprites, dsprites_split

STEPS = 20


def explained_share(values: np.ndarray, latent: np.ndarray) -> float:
    """The share of the variance of `values` that a step function of one latent explains."""
    steps = np.digitize(latent, np.quantile(latent, np.linspace(0, 1, STEPS + 1)[1:-1]))
    means = np.array([values[steps == step].mean() if (steps == step).any() else 0.0 for step in range(STEPS)])
    return float(1 - ((values - means[steps]) ** 2).mean() / values.var())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="dsprites")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    images = DSprites(dsprites_split()[1])
    means = core.encode(core.load(arguments.bundle).vae, images).mean.numpy()
    factors = images.factors().numpy()
    columns = {name: FACTORS[name][factors[:, i]] for i, name in enumerate(FACTORS) if name not in ("shape", "orientation")}
    columns |= {shape: (factors[:, 0] == i).astype(float) for i, shape in enumerate(FACTORS["shape"])}
    angle = FACTORS["orientation"][factors[:, 2]]
    columns |= {f"{f.__name__} {k} x angle": f(k * angle) for k in (1, 2) for f in (np.cos, np.sin)}
    result = {}
    for name, values in columns.items():
        shares = np.array([explained_share(values, latent) for latent in means.T])
        best, second = np.argsort(-shares)[:2]
        result[name] = {"latent": int(best), "share": float(shares[best]), "next": float(shares[second])}
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
