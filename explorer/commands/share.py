"""The commands that give a bundle away: `export` as a folder, `publish` and `pull` by way of the hub."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.arguments import Bundle


def export(
    bundle: Bundle,
    folder: Annotated[Path, typer.Argument(help="Folder to write; it may exist if it is empty.")],
    space: Annotated[bool, typer.Option("--space", help="A complete Gradio Space: app, code, bundle.")] = False,
    static: Annotated[bool, typer.Option("--static", help="A page for any web server: the browser computes.")] = False,
    runtime: Annotated[
        str | None,
        typer.Option(envvar="LATENTSCAPE_RUNTIME", help="Folder with onnxruntime-web, copied in by --static."),
    ] = None,
) -> None:
    """Write a bundle as something that others can open."""
    if space == static:
        raise ValueError("say what to write: --space, or --static, one of the two.")
    if space:
        from explorer.publish.space import write

        write(bundle, folder)
        print(f"A Space in {folder}. Try it:  python {folder / 'app.py'}")
        return
    from explorer.publish import static_site

    parts = static_site.export(bundle, folder, runtime)
    listing = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sorted(parts.items(), key=lambda part: -part[1]))
    print(f"{folder}: {sum(parts.values()) / 1e6:.1f} MB ({listing}).")
    print(f"Look at it:  python -m http.server --directory {folder}")


def publish(
    bundle: Bundle,
    repository: Annotated[str, typer.Argument(help="owner/name on the hub; made if it is not there.")],
    space: Annotated[bool, typer.Option("--space", help="As a Gradio Space with the explorer, rather than a model.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make the new repository private.")] = False,
    licence: Annotated[str | None, typer.Option("--license", help="For the card, in the hub's terms: mit, cc-by-4.0…")] = None,
) -> None:
    """Put a bundle on the hub, as a model or as a Space. Needs a token: `hf auth login`, or HF_TOKEN."""
    import core
    from core.bundle import hub
    from core.bundle.folders import locate

    hub.check_repository(repository)
    folder = locate(bundle)
    core.load(folder)  # what would be refused on the way back is refused here
    if not space:
        address = hub.publish(folder, repository, private, licence)
        print(f"{address}\nAnybody who may see it opens it with:  latentscape explore {hub.PREFIX}{repository}")
        return
    from explorer.publish.space import write

    with tempfile.TemporaryDirectory(prefix="latentscape-") as scratch:
        write(bundle, Path(scratch) / "space", licence)
        print(hub.upload(Path(scratch) / "space", repository, "space", private, "gradio"))


def pull(
    repository: Annotated[str, typer.Argument(help="owner/name on the hub; owner/name@revision for another than the newest.")],
    out: Annotated[Path | None, typer.Option(help="Folder to copy it to; it stays in the hub's cache if not given.")] = None,
) -> None:
    """Fetch a bundle from the hub, and check all of it."""
    import core
    from core.bundle import hub
    from core.bundle.folders import check_target, replacing

    if out is not None:
        check_target(out)  # before anything is fetched
    folder = hub.fetch(hub.PREFIX + repository.removeprefix(hub.PREFIX))
    name = core.load(folder).name
    if out is not None:
        with replacing(out.absolute()) as partial:
            hub.copy(folder, partial)
        folder = out
    print(f"{name} in {folder}. Walk through it:  latentscape explore {folder}")
