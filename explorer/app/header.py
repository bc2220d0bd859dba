"""The header: which models there are, by name and as pictures, and what is known of the open one."""

from explorer.app.assets import IMPORTED, PREFIX, modules
from explorer.app.catalogue import Catalogue
from explorer.app.wire import Answer, Request, component, pixels, safe
from explorer.describe import decode


@safe
def cover(catalogue: Catalogue, request: Request) -> Answer:
    """{model} → the picture that stands for it: its gallery's first, or else the middle of its latent space."""
    exhibit = catalogue[request["model"]]
    gallery = exhibit.bundle.gallery
    image = decode(exhibit.bundle, exhibit.middle[None]) if gallery is None else gallery.first(1)
    return {"pixels": pixels(image), "shape": list(exhibit.bundle.preprocessing.shape)}


def build(catalogue: Catalogue) -> None:
    """Lay the header out."""
    # With the first tab's, side by side, not one after another as each is found to need the next.
    preload = [PREFIX + name for name in modules("header/header.js", "explore/explore.js", mentioned=IMPORTED)]
    component("header", catalogue, cover, preload=preload, models=catalogue.names)
