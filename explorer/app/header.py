"""The header: the model picker, and facts about the open model."""

from explorer.app.assets import IMPORTED, PREFIX, modules
from explorer.app.catalogue import Catalogue
from explorer.app.wire import Answer, Request, component, errors_as_answers, pixels
from explorer.describe import decode


@errors_as_answers
def cover(catalogue: Catalogue, request: Request) -> Answer:
    """{model} → its cover image: the first one of its gallery, or the decoded middle of its latent space."""
    model = catalogue[request["model"]]
    gallery = model.bundle.gallery
    image = decode(model.bundle, model.middle[None]) if gallery is None else gallery.first(1)
    return {"pixels": pixels(image), "shape": list(model.bundle.preprocessing.shape)}


def build(catalogue: Catalogue) -> None:
    """Add the header to the page."""
    # The browser fetches these modules, and those of the first tab, in parallel.
    preload = [PREFIX + name for name in modules("header/header.js", "explore/explore.js", mentioned=IMPORTED)]
    component("header", catalogue, cover, preload=preload, models=catalogue.names)
