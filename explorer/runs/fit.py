"""Training from the command line: data set in, bundle out, a progress bar in between."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import ImageColor
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TextColumn

import core
from core.bundle.card import stages
from core.bundle.folders import check_name, check_target, is_bundle
from core.data.binarization import Binarization
from core.data.labels import rename, split_names
from core.data.preprocessing import Images
from core.data.reading import Options, Reading
from core.distributed import SINGLE_PROCESS
from core.evaluation.anomaly import FEWEST, MOST
from core.evaluation.classifier import SEEN, learnable
from core.model.architecture import check_choice
from core.model.objectives import OBJECTIVES
from core.training.loop import split
from explorer.runs import auto_config, throughput
from explorer.runs.log import Log, follow
from explorer.runs.options import TrainingOptions
from explorer.runs.preview import COLUMNS, Preview
from explorer.runs.record import begun_with, command, record, save, sibling_file

MODEL = ("network", "network_width", "likelihood", "prior", "latents")
"""The parts of the architecture that a person may give."""


def choose_device(device: str) -> torch.device:
    """The named device; "auto" is CUDA, then Apple's MPS, then the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} is not available here: {str(error).splitlines()[0]} Use --device auto.") from error


def read(
    source: str, options: Options, label_names: list[str] | None, binarization: Binarization, console: Console
) -> tuple[core.Data, core.Data, core.Preprocessing, Reading | None]:
    """Training and test images of a data set, the latter in the view they are scored in, what later pictures go through to look
    like them, and, where they are pictures, how they were read, which is also printed."""
    counter = TextColumn("Reading pictures: {task.completed:,.0f} files")
    with Bar(counter, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        data = core.open_data(source, options, advance=lambda files: bar.advance(task, files))
    for line in data.reading.summary.lines() if data.reading else []:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    # Arrays were never fitted; a later picture of another shape is padded rather than cut.
    preprocessing = core.Preprocessing.measure(data.train.images, options.fit if data.reading else "pad")
    preprocessing = replace(preprocessing, paper=options.paper, binarization=binarization)
    test = replace(data.test, labels=rename(data.test.labels, label_names)) if label_names else data.test
    return data.train, replace(test, images=preprocessing.view(test.images)), preprocessing, data.reading


def paper(colour: str) -> tuple[int, int, int] | None:
    """The colour under transparent pictures by its name or its number (#rrggbb); None for "auto"."""
    try:
        return None if colour == "auto" else ImageColor.getcolor(colour, "RGB")  # pyright: ignore[reportReturnType]
    except ValueError as error:
        raise ValueError(f"--background must be auto, a colour such as white, or #rrggbb; got {colour!r}.") from error


def fit(options: TrainingOptions, group: core.ProcessGroup = SINGLE_PROCESS) -> core.Bundle:
    """Train on a data set's training split, score and map its test split, and save the bundle at `options.out`.

    What is not given is chosen and told: see `auto_config`. With `start`, training goes on from the weights of that bundle,
    whose architecture and held-out images are kept; only the prior may be another kind, which starts afresh. Without
    `calibrate` the bundle has no anomaly detector and no classifier: enough for one that another run starts from.

    The run saves itself beside the bundle every `checkpoint_every` seconds, and `resume` goes on with it; what is not given is
    then as it was. The checkpoint goes when the bundle of the whole run is there. A bundle of another run that is at `out` is
    left alone, with an error, unless `replace` says that it may go. Ctrl-C ends training early and saves the best
    weights so far. Several processes share the work; the first of them writes and prints. Raises ValueError for whatever the
    user can put right.
    """
    console, out = Console(stderr=True, quiet=not group.is_main), options.out
    ready = prepare(options, group, console)
    vae = built(ready.architecture, ready.settings.seed, ready.before)
    training, held_out = split(len(ready.train.images), ready.settings.validation, ready.settings.seed)
    objective = {"name": options.objective, "strength": options.strength}
    about = {"architecture": ready.architecture.as_dict(), "objective": [*objective.values()], "start": options.start}
    maximized = OBJECTIVES[options.objective](options.strength, len(training))
    checkpoint = core.Checkpoint(ready.saved, options.checkpoint_every, options.resume, about)
    progress = core.train(vae, ready.train.images, ready.settings, maximized, ready.device, checkpoint=checkpoint, group=group)
    log = Log(sibling_file(out, "log.jsonl"), options.resume) if group.is_main else None
    preview = Preview(sibling_file(out, "preview.png"), vae, ready.train.images[held_out[:COLUMNS]]) if group.is_main else None
    last = follow(progress, console, options.objective, log, command(resume=True), preview)
    stopped = last is None or last.fraction < 1
    if stopped and group.count > 1:
        raise KeyboardInterrupt  # the others are gone, or going, and what is left to do is shared
    console.print("Scoring the test images and drawing the map…")
    told = {"objective": objective, "settings": asdict(ready.settings), "notes": options.notes}
    told |= record(last, len(training), len(held_out), ready.device, group, ready.reading, ready.before)
    made = ready.architecture, ready.preprocessing, ready.test, told
    seed, title = ready.settings.seed, options.title
    bundle = core.make_bundle(title, vae, *made, gallery_size=options.gallery, seed=seed, device=ready.device, group=group)
    if not group.is_main:
        return bundle
    if options.calibrate and len(held_out) >= FEWEST:
        bundle = calibrated(bundle, ready.train, console)
    save(bundle, out, ready.saved)
    sibling_file(out, "preview.png").unlink(missing_ok=True)
    if not stopped:  # a run that came to its end leaves no checkpoint
        ready.saved.unlink()
    return bundle


def report_choices(options: TrainingOptions, group: core.ProcessGroup) -> None:
    """Read the data and tell what would be chosen."""
    prepare(options, group, Console(stderr=True, quiet=not group.is_main))


class Ready(NamedTuple):
    """All that is settled before the first step."""

    train: core.Data
    test: core.Data
    """In the view it is scored in."""
    preprocessing: core.Preprocessing
    reading: Reading | None
    architecture: core.Architecture
    settings: core.Settings
    before: core.Bundle | None
    """What the run starts from."""
    device: torch.device
    saved: Path
    """The checkpoint."""


def prepare(options: TrainingOptions, group: core.ProcessGroup, console: Console) -> Ready:
    """Read the data and choose what was not given, and tell both: see `fit`."""
    check_choice("objective", options.objective, OBJECTIVES)
    check_name(options.title)
    out = options.out
    check_target(out)  # before hours are spent
    saved = sibling_file(out, "checkpoint")
    if is_bundle(out) and not (options.resume or options.replace or saved.exists()):
        raise ValueError(f"{out} is a bundle already, and is left alone. Choose another --out, or let it go with --replace.")
    model, settings = given(options, begun_with(saved, out) if options.resume else {})
    where = group.device or choose_device(options.device)
    pictures, names = how_to_read(options, where), split_names(options.label_names)
    train_data, test_data, preprocessing, reading = read(
        options.data, pictures, names, settings.get("binarization", "none"), console
    )
    before, settings = going_on(options.start, train_data.images, settings)
    architecture, chosen, choices = settle(train_data.images, preprocessing, model, settings, before, where, group)
    tell(choices, train_data.images, reading, pictures, console)
    weights = sum(weight.numel() for weight in architecture.build().parameters())
    others = f" and {group.count - 1} more" * (group.count > 1)
    console.print(
        f"{len(train_data.images):,} training and {len(test_data.images):,} test images; {architecture.network} of {weights:,} "
        f"weights, {architecture.latents} latents, {architecture.likelihood} likelihood, {architecture.prior} prior; "
        f"on {where}{others}.",
        soft_wrap=True,
    )
    return Ready(train_data, test_data, preprocessing, reading, architecture, chosen, before, where, saved)


def how_to_read(options: TrainingOptions, device: torch.device) -> Options:
    """How pictures are read."""
    return Options(
        options.size,
        options.channels,
        options.fit,  # pyright: ignore[reportArgumentType]
        auto_config.largest_side(auto_config.Machine.here(device)),
        paper(options.background),
        options.labels,
        None if options.memory is None else int(options.memory * 2**30),
    )


def going_on(start: str | None, images: Images, settings: dict[str, Any]) -> tuple[core.Bundle | None, dict[str, Any]]:
    """The bundle whose weights are taken over, if one is named, and the settings that this leaves."""
    if not start:
        return None, settings
    before = core.load(start)
    before.preprocessing.check(images[:1])
    # The KL counts from the first step, and the held-out images stay those that no weight has seen.
    return before, {**settings, "kl_warm_up": 0.0, "seed": before.config["training"]["settings"]["seed"]}


def given(options: TrainingOptions, begun: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parts of the architecture and the settings that are not to be chosen: those said now, and else those that a run was
    begun with."""
    parts = {key: value for key, value in begun.get("architecture", {}).items() if key in MODEL}
    set_now = options.given(field.name for field in fields(core.Settings))
    return {**parts, **options.given(MODEL)}, {**begun.get("settings", {}), **set_now}


def built(architecture: core.Architecture, seed: int, before: core.Bundle | None) -> core.VAE:
    """The VAE to train: fresh from the seed, but for the weights that it takes over."""
    torch.manual_seed(seed)
    vae = architecture.build()
    if before:
        adopt(vae, before.vae)
    return vae


def settle(
    images: Images,
    preprocessing: core.Preprocessing,
    model: dict[str, Any],
    settings: dict[str, Any],
    before: core.Bundle | None,
    device: torch.device,
    group: core.ProcessGroup,
) -> tuple[core.Architecture, core.Settings, dict[str, auto_config.Choice]]:
    """Architecture and settings: as given, and where nothing was given as chosen; and those choices."""
    core.Settings(**({} if {"epochs", "minutes"} & set(settings) else {"epochs": 1.0}), **settings)  # wrong ones end here
    data, machine = auto_config.DatasetStats.of(images), auto_config.Machine.here(device)
    choices = {key: made for key, made in auto_config.choose(data, machine).items() if key not in {**model, **settings}}
    if before:
        architecture = replace(before.architecture, prior=model.get("prior", before.architecture.prior))
        choices = {key: made for key, made in choices.items() if key == "batch_size"}
    else:
        made = {key: choices[key].value for key in ("network", "latents", "likelihood") if key in choices}
        architecture = core.Architecture(*preprocessing.shape, **{**made, **model})
    if "batch_size" in choices:
        settings = {**settings, "batch_size": choices["batch_size"].value}
    length = {unit: settings[unit] for unit in ("epochs", "minutes") if unit in settings}
    seconds = 0.3 if length else 2.0  # what is only told need not be exact
    rate = group.count * group.broadcast(throughput.measure(architecture, images, settings["batch_size"], device, seconds))
    if length:
        choices["duration"] = auto_config.given_duration(data, machine, rate, length)
    else:
        unit, duration = auto_config.duration(data, machine, rate)
        settings = {**settings, unit: duration.value}
        choices["duration"] = replace(duration, value=f"{duration.value:g} {unit}")
    return architecture, core.Settings(**settings), choices


def tell(
    choices: dict[str, auto_config.Choice], images: Images, reading: Reading | None, options: Options, console: Console
) -> None:
    """Print what was chosen, one line each."""
    lines = {name.replace("_", " "): made for name, made in choices.items()}
    if reading:
        size, colours = auto_config.shape(reading.preprocessing, reading.survey)
        lines = {"channels": colours, **lines} if options.channels is None else lines
        lines = {"size": size, **lines} if options.size is None else lines
        lines["images"] = auto_config.place(reading.images)
    for name, made in lines.items():
        console.print(auto_config.line(name, made), markup=False, highlight=False, soft_wrap=True)


def calibrated(bundle: core.Bundle, data: core.Data, console: Console) -> core.Bundle:
    """The bundle with an anomaly detector and a classifier, from the training split it was trained on: fitted to the images
    that its weights were fitted to, calibrated and scored on those held out. Raises ValueError for too few of either.

    The classifier sees a quarter as many images as the weights have, so that it takes a part of the time that they took."""
    told = bundle.config["training"]
    settings = {"validation": core.Settings.validation, "seed": 0, **told["settings"]}
    training, held_out = split(len(data.images), settings["validation"], settings["seed"])
    view = bundle.preprocessing.view
    console.print("Learning what is normal…")
    bundle = bundle.calibrated(view(data.images[training[:MOST]]), view(data.images[held_out]))
    if learnable(data.labels):
        console.print("Learning what the labels look like…")
    seen = min(SEEN, int(sum(stage["epochs"] * stage["images"] for stage in stages(told))) // 4)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("learning", total=1.0)
        return bundle.with_classifier(data, held_out, seen, lambda share: bar.advance(task, share))


def adopt(vae: core.VAE, before: core.VAE) -> None:
    """Give a VAE the weights of another that differs from it in its prior at most."""
    parts = {name.partition(".")[0] for name in vae.state_dict()}
    if type(vae.prior) is not type(before.prior):
        parts -= {"prior"}
    for part in parts:
        getattr(vae, part).load_state_dict(getattr(before, part).state_dict())
