"""Training from the command line: reads a data set, trains with a progress bar, and saves a bundle."""

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
from core.data.labels import name_classes, split_names
from core.data.preprocessing import Images
from core.data.reading import Options, Reading
from core.distributed import SINGLE_PROCESS
from core.evaluation.anomaly import MAX_TRAINING_IMAGES, MIN_IMAGES
from core.evaluation.classifier import MAX_SEEN, learnable
from core.model.architecture import check_choice
from core.model.objectives import OBJECTIVES
from core.training.loop import split
from explorer.runs import auto_config, throughput
from explorer.runs.log import Log, show_progress
from explorer.runs.options import TrainingOptions
from explorer.runs.preview import COLUMNS, Preview
from explorer.runs.record import command_line, resumed_run, save, sibling_file, training_record

ARCHITECTURE_OPTIONS = ("network", "network_width", "likelihood", "prior", "latents")
"""The fields of the architecture that the user may set."""


def choose_device(device: str) -> torch.device:
    """The named device; "auto" is CUDA if available, else Apple's MPS, else the CPU. Raises ValueError if unavailable."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} is not available here: {str(error).splitlines()[0]} Use --device auto.") from error


def read_data(
    source: str, options: Options, label_names: list[str] | None, binarization: Binarization, console: Console
) -> tuple[core.Data, core.Data, core.Preprocessing, Reading | None]:
    """Read a data set: training data, test data in the view it is scored on, preprocessing of later pictures, and the reading.

    The reading is None unless the data set consists of pictures. Its summary is also printed.
    """
    counter = TextColumn("Reading pictures: {task.completed:,.0f} files")
    with Bar(counter, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        data = core.open_data(source, options, advance=lambda files: bar.advance(task, files))
    for line in data.reading.summary.lines() if data.reading else []:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    # Arrays were not fitted to a size. Later pictures are padded then, which loses none of their content.
    preprocessing = core.Preprocessing.measure(data.train.images, options.fit if data.reading else "pad")
    preprocessing = replace(preprocessing, paper=options.paper, binarization=binarization)
    test = replace(data.test, labels=name_classes(data.test.labels, label_names)) if label_names else data.test
    return data.train, replace(test, images=preprocessing.evaluation_images(test.images)), preprocessing, data.reading


def background_colour(colour: str) -> tuple[int, int, int] | None:
    """Parse a colour name or #rrggbb into (red, green, blue); None for "auto". Raises ValueError for anything else."""
    try:
        return None if colour == "auto" else ImageColor.getcolor(colour, "RGB")  # pyright: ignore[reportReturnType]
    except ValueError as error:
        raise ValueError(f"--background must be auto, a colour such as white, or #rrggbb; got {colour!r}.") from error


def fit(options: TrainingOptions, group: core.ProcessGroup = SINGLE_PROCESS) -> core.Bundle:
    """Train on a data set's training split, score its test split, compute the map, and save the bundle at `options.out`.

    Settings that are not given are chosen and printed: see `auto_config`. With `start`, training starts from the weights of
    that bundle and uses its architecture and its split into training and held-out images. Only the prior may be of another
    kind; its weights are then random. Without `calibrate`, the bundle has no anomaly detector and no label classifier.

    The run writes a checkpoint next to the bundle every `checkpoint_every` seconds, and `resume` continues from it with the
    settings of that run. The checkpoint is deleted once the bundle of the finished run is saved. An existing bundle at `out`
    is an error unless `replace` is set. Ctrl-C ends training early and saves the best weights so far. Several processes share
    the work; only the main one writes and prints. Raises ValueError for errors that the user can correct.
    """
    console, out = Console(stderr=True, quiet=not group.is_main), options.out
    run = prepare(options, group, console)
    vae = build_vae(run.architecture, run.settings.seed, run.start)
    training, held_out = split(len(run.train.images), run.settings.validation, run.settings.seed)
    objective = {"name": options.objective, "strength": options.strength}
    about = {"architecture": run.architecture.as_dict(), "objective": [*objective.values()], "start": options.start}
    maximized = OBJECTIVES[options.objective](options.strength, len(training))
    checkpoint = core.Checkpoint(run.checkpoint, options.checkpoint_every, options.resume, about)
    progress = core.train(vae, run.train.images, run.settings, maximized, run.device, checkpoint=checkpoint, group=group)
    log = Log(sibling_file(out, "log.jsonl"), options.resume) if group.is_main else None
    preview = Preview(sibling_file(out, "preview.png"), vae, run.train.images[held_out[:COLUMNS]]) if group.is_main else None
    last = show_progress(progress, console, options.objective, log, command_line(resume=True), preview)
    stopped = last is None or last.fraction < 1
    if stopped and group.count > 1:
        raise KeyboardInterrupt  # the remaining work is shared, and the other processes have stopped
    console.print("Scoring the test images and computing the map…")
    record = {"objective": objective, "settings": asdict(run.settings), "notes": options.notes}
    record |= training_record(last, len(training), len(held_out), run.device, group, run.reading, run.start)
    parts = run.architecture, run.preprocessing, run.test, record
    seed, name = run.settings.seed, options.title
    bundle = core.make_bundle(name, vae, *parts, gallery_size=options.gallery, seed=seed, device=run.device, group=group)
    if not group.is_main:
        return bundle
    if options.calibrate and len(held_out) >= MIN_IMAGES:
        bundle = calibrate(bundle, run.train, console)
    save(bundle, out, run.checkpoint)
    sibling_file(out, "preview.png").unlink(missing_ok=True)
    if not stopped:
        run.checkpoint.unlink()
    return bundle


def report_choices(options: TrainingOptions, group: core.ProcessGroup) -> None:
    """Read the data and print the settings that `fit` would use."""
    prepare(options, group, Console(stderr=True, quiet=not group.is_main))


class PreparedRun(NamedTuple):
    """The data, the settings and the device of a run before its first step."""

    train: core.Data
    test: core.Data
    """In the view that it is scored on."""
    preprocessing: core.Preprocessing
    reading: Reading | None
    architecture: core.Architecture
    settings: core.Settings
    start: core.Bundle | None
    """The bundle that the run starts from."""
    device: torch.device
    checkpoint: Path


def prepare(options: TrainingOptions, group: core.ProcessGroup, console: Console) -> PreparedRun:
    """Check the options, read the data, choose the settings that are not given, and print a summary."""
    check_choice("objective", options.objective, OBJECTIVES)
    check_name(options.title)
    out = options.out
    check_target(out)  # fail now rather than after hours of training
    checkpoint = sibling_file(out, "checkpoint")
    if is_bundle(out) and not (options.resume or options.replace or checkpoint.exists()):
        raise ValueError(f"{out} is already a bundle and is not changed. Choose another --out, or overwrite it with --replace.")
    fixed, settings = specified_options(options, resumed_run(checkpoint, out) if options.resume else {})
    device = group.device or choose_device(options.device)
    read_options, names = reading_options(options, device), split_names(options.label_names)
    train_data, test_data, preprocessing, reading = read_data(
        options.data, read_options, names, settings.get("binarization", "none"), console
    )
    start, settings = load_start(options.start, train_data.images, settings)
    architecture, chosen, choices = choose_settings(train_data.images, preprocessing, fixed, settings, start, device, group)
    print_choices(choices, reading, read_options, console)
    weights = sum(weight.numel() for weight in architecture.build().parameters())
    processes = f", {group.count} processes" if group.count > 1 else ""
    console.print(
        f"{len(train_data.images):,} training and {len(test_data.images):,} test images; {architecture.network} network, "
        f"{weights:,} weights, {architecture.latents} latents, {architecture.likelihood} likelihood, "
        f"{architecture.prior} prior; on {device}{processes}.",
        soft_wrap=True,
    )
    return PreparedRun(train_data, test_data, preprocessing, reading, architecture, chosen, start, device, checkpoint)


def reading_options(options: TrainingOptions, device: torch.device) -> Options:
    """The options of reading pictures, with the largest side that suits the device."""
    return Options(
        options.size,
        options.channels,
        options.fit,  # pyright: ignore[reportArgumentType]
        auto_config.max_side(auto_config.Machine.current(device)),
        background_colour(options.background),
        options.labels,
        None if options.memory is None else int(options.memory * 2**30),
    )


def load_start(name: str | None, images: Images, settings: dict[str, Any]) -> tuple[core.Bundle | None, dict[str, Any]]:
    """Load the bundle to start from, if one is named, and adapt the settings to it."""
    if not name:
        return None, settings
    start = core.load(name)
    start.preprocessing.check(images[:1])
    # No KL warm-up, because the weights are trained already. The same seed holds out the same images as before.
    return start, {**settings, "kl_warm_up": 0.0, "seed": start.config["training"]["settings"]["seed"]}


def specified_options(options: TrainingOptions, resumed: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the architecture and the settings that need no choice: those of `options`, else those of a resumed run."""
    architecture = {key: value for key, value in resumed.get("architecture", {}).items() if key in ARCHITECTURE_OPTIONS}
    settings = options.specified(field.name for field in fields(core.Settings))
    return {**architecture, **options.specified(ARCHITECTURE_OPTIONS)}, {**resumed.get("settings", {}), **settings}


def build_vae(architecture: core.Architecture, seed: int, start: core.Bundle | None) -> core.VAE:
    """Build the VAE to train, with random weights from the seed or with the weights of `start`."""
    torch.manual_seed(seed)
    vae = architecture.build()
    if start:
        copy_weights(vae, start.vae)
    return vae


def choose_settings(
    images: Images,
    preprocessing: core.Preprocessing,
    fixed: dict[str, Any],
    settings: dict[str, Any],
    start: core.Bundle | None,
    device: torch.device,
    group: core.ProcessGroup,
) -> tuple[core.Architecture, core.Settings, dict[str, auto_config.Choice]]:
    """Choose the architecture fields that are not in `fixed` and the settings that are not in `settings`.

    Returns the architecture, the settings and the choices.
    """
    core.Settings(**({} if {"epochs", "minutes"} & set(settings) else {"epochs": 1.0}), **settings)  # refuse invalid values
    data, machine = auto_config.DatasetStats.of(images), auto_config.Machine.current(device)
    choices = {key: choice for key, choice in auto_config.choose(data, machine).items() if key not in {**fixed, **settings}}
    if start:
        architecture = replace(start.architecture, prior=fixed.get("prior", start.architecture.prior))
        choices = {key: choice for key, choice in choices.items() if key == "batch_size"}
    else:
        chosen = {key: choices[key].value for key in ("network", "latents", "likelihood") if key in choices}
        architecture = core.Architecture(*preprocessing.shape, **{**chosen, **fixed})
    if "batch_size" in choices:
        settings = {**settings, "batch_size": choices["batch_size"].value}
    length = {unit: settings[unit] for unit in ("epochs", "minutes") if unit in settings}
    seconds = 0.3 if length else 2.0  # a throughput that is only printed may be less exact
    rate = group.count * group.broadcast(throughput.measure(architecture, images, settings["batch_size"], device, seconds))
    if length:
        choices["duration"] = auto_config.specified_duration(data, machine, rate, length)
    else:
        unit, duration = auto_config.duration(data, machine, rate)
        settings = {**settings, unit: duration.value}
        choices["duration"] = replace(duration, value=f"{duration.value:g} {unit}")
    return architecture, core.Settings(**settings), choices


def print_choices(choices: dict[str, auto_config.Choice], reading: Reading | None, options: Options, console: Console) -> None:
    """Print one line for each choice, with its reason."""
    lines = {name.replace("_", " "): choice for name, choice in choices.items()}
    if reading:
        size, colours = auto_config.image_shape(reading.preprocessing, reading.survey)
        lines = {"channels": colours, **lines} if options.channels is None else lines
        lines = {"size": size, **lines} if options.size is None else lines
        lines["images"] = auto_config.storage(reading.images)
    for name, choice in lines.items():
        console.print(auto_config.format_choice(name, choice), markup=False, highlight=False, soft_wrap=True)


def calibrate(bundle: core.Bundle, data: core.Data, console: Console) -> core.Bundle:
    """Return the bundle with an anomaly detector and a label classifier, fitted to the data that the bundle was trained on.

    Both are fitted to the training images, and calibrated and scored on the held-out images. To limit its time, the
    classifier sees at most a quarter as many images as the VAE did, repetitions counted. Raises ValueError for too few images.
    """
    record = bundle.config["training"]
    settings = {"validation": core.Settings.validation, "seed": 0, **record["settings"]}
    training, held_out = split(len(data.images), settings["validation"], settings["seed"])
    view = bundle.preprocessing.evaluation_images
    console.print("Fitting the anomaly detector…")
    bundle = bundle.calibrated(view(data.images[training[:MAX_TRAINING_IMAGES]]), view(data.images[held_out]))
    if learnable(data.labels):
        console.print("Training the label classifier…")
    seen = min(MAX_SEEN, int(sum(stage["epochs"] * stage["images"] for stage in stages(record))) // 4)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=1.0)
        return bundle.with_classifier(data, held_out, seen, lambda share: bar.advance(task, share))


def copy_weights(vae: core.VAE, source: core.VAE) -> None:
    """Copy the weights of a VAE of the same architecture. A prior of another kind is not copied."""
    parts = {name.partition(".")[0] for name in vae.state_dict()}
    if type(vae.prior) is not type(source.prior):
        parts -= {"prior"}
    for part in parts:
        getattr(vae, part).load_state_dict(getattr(source, part).state_dict())
