"""The header: which models there are, by name and as pictures, and what is known of the open one."""

import gradio as gr

from explorer.app.assets import IMPORTED, PREFIX, STATIC, modules
from explorer.app.catalogue import Catalogue
from explorer.app.explore import Answer, Request, pixels, safe, server_functions
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
    gr.HTML(
        html_template=(STATIC / "header" / "header.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "load.js").read_text(encoding="utf-8"),
        server_functions=server_functions(catalogue, cover),
        apply_default_css=False,
        module=f"{PREFIX}header/header.js",
        # With the first tab's, side by side, not one after another as each is found to need the next.
        ahead=[PREFIX + name for name in modules("header/header.js", "explore/explore.js", mentioned=IMPORTED)],
        models=catalogue.names,
    )
