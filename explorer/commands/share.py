"""The commands that share a bundle: `export` writes a folder, `publish` and `pull` use the Hugging Face hub."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.arguments import Bundle


def export(
    bundle: Bundle,
    folder: Annotated[Path, typer.Argument(help="New or empty folder to write to.")],
    space: Annotated[bool, typer.Option("--space", help="Write a Gradio Space: app, code and bundle.")] = False,
    static: Annotated[
        bool, typer.Option("--static", help="Write a static site for any web server; the browser does all computation.")
    ] = False,
    runtime: Annotated[
        str | None,
        typer.Option(envvar="LATENTSCAPE_RUNTIME", help="Folder with onnxruntime-web, which --static copies into the site."),
    ] = None,
) -> None:
    """Write a bundle as a Gradio Space or as a static site."""
    if space == static:
        raise ValueError("export writes either a Space or a static site; got both or neither. Give --space or --static.")
    if space:
        from explorer.publish.space import write

        write(bundle, folder)
        print(f"Wrote a Space to {folder}. Try it:  python {folder / 'app.py'}")
        return
    from explorer.publish import static_site

    parts = static_site.export(bundle, folder, runtime)
    listing = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sorted(parts.items(), key=lambda part: -part[1]))
    print(f"{folder}: {sum(parts.values()) / 1e6:.1f} MB ({listing}).")
    print(f"Open it:  python -m http.server --directory {folder}")


def publish(
    bundle: Bundle,
    repository: Annotated[str, typer.Argument(help="owner/name on the hub; created if it does not exist.")],
    space: Annotated[
        bool, typer.Option("--space", help="Publish a Gradio Space with the explorer instead of a model repository.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private if it is created.")] = False,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence on the model card, as an identifier of the hub: mit, cc-by-4.0…")
    ] = None,
) -> None:
    """Publish a bundle on the Hugging Face hub, as a model or as a Space.

    This needs an access token: run `hf auth login` or set HF_TOKEN.
    """
    import core
    from core.bundle import hub
    from core.bundle.folders import locate

    hub.check_repository(repository)
    folder = locate(bundle)
    core.load(folder)  # refuse now what `pull` would refuse later
    if not space:
        address = hub.publish(folder, repository, private, licence)
        print(f"{address}\nEveryone with access can open it:  latentscape explore {hub.PREFIX}{repository}")
        return
    from explorer.publish.space import write

    with tempfile.TemporaryDirectory(prefix="latentscape-") as scratch:
        write(bundle, Path(scratch) / "space", licence)
        print(hub.upload(Path(scratch) / "space", repository, "space", private, "gradio"))


def pull(
    repository: Annotated[str, typer.Argument(help="owner/name on the hub; owner/name@revision for an older version.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to copy the bundle to; it stays only in the hub's cache if not given.")
    ] = None,
) -> None:
    """Download a bundle from the Hugging Face hub and verify its files."""
    import core
    from core.bundle import hub
    from core.bundle.folders import check_target, replacing

    if out is not None:
        check_target(out)  # before the download
    folder = hub.fetch(hub.PREFIX + repository.removeprefix(hub.PREFIX))
    name = core.load(folder).name
    if out is not None:
        with replacing(out.absolute()) as partial:
            hub.copy(folder, partial)
        folder = out
    print(f"{name} in {folder}. Explore it:  latentscape explore {folder}")
