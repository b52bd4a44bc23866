"""psp explain: what the levels of the pyramid make of one picture, as a page."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import (
    BaseSize,
    Crop,
    Debug,
    Device,
    Json,
    ModelOption,
    Overwrite,
    Precision,
    Quiet,
    WhichWeights,
    Windows,
    check_new_file,
    model_named,
    which_weights,
)
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.predict.explain import LevelEffect, Samples
    from psp.runs import Model

SAMPLES = 32  # pictures, at most
SUFFIX = "-explained.html"


def explain_command(
    picture: Annotated[Path, typer.Argument(help="One photo.", metavar="PICTURE")],
    model: ModelOption,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Shards, or a folder of photos, that the levels' means are taken of; "
            f"{SAMPLES} of them at most. Default: what the model was validated on.",
            metavar="DIR",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help=f"The page. Default: PICTURE{SUFFIX} beside the picture."),
    ] = None,
    weights: WhichWeights = None,
    crop: Crop = None,
    base_size: BaseSize = None,
    windows: Windows = None,
    overwrite: Overwrite = False,
    precision: Precision = "auto",
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show what the pyramid makes of a picture: psp explain photo.jpg -m voc2012-resnet50

    On the page, levels of the pyramid are switched off and on, and the classes change: it shows
    what the network knows from the whole window, from its quarters, and from the place alone.
    """
    from psp.cli.console import listening
    from psp.device import pick_device
    from psp.model.choice import Choice
    from psp.predict.explain import explain

    page = _page(picture, out, overwrite)
    source = model_named(model, which_weights(weights), quiet)
    with listening("explaining", quiet) as report:
        effects = explain(
            picture,
            source.path,
            page,
            _samples(samples, source),
            Choice(crop=crop, base_size=base_size, windows=windows, predicting=True),
            pick_device(device),
            precision=precision,
            title=str(model),
            report=report,
        )
    _show(page, effects, as_json)


def _show(page: Path, effects: "list[LevelEffect]", as_json: bool) -> None:
    from psp.cli.console import say

    if as_json:
        record = {"out": str(page), "levels": [asdict(effect) for effect in effects]}
        print(json.dumps(record, ensure_ascii=False))
        return
    for effect in effects:
        say(f"{effect.title}: {effect.in_words}")
    print(page)


def _page(picture: Path, out: Path | None, overwrite: bool) -> Path:
    """Return the page's path: the one given, or the first free one beside the picture."""
    from psp.files import numbered_names

    if out is not None:
        check_new_file(out, ".html", overwrite)
        return out
    if picture.is_dir():
        raise PspError(f"{picture}: a folder. One picture at a time: psp explain PICTURE -m MODEL")
    base = picture.with_name(f"{picture.stem}{SUFFIX.removesuffix('.html')}")
    names = (name.with_name(f"{name.name}.html") for name in numbered_names(base))
    return next(name for name in names if overwrite or not name.exists())


def _samples(given: Path | None, model: "Model") -> "Samples":
    """Return the pictures for the means: those given, or those that the run was validated on."""
    from psp.data.find import shards_folder
    from psp.data.manifest import MANIFEST

    if given is not None:
        folder = given
    elif model.run is not None:
        folder = Path(model.run.read_config()["data"])
    else:
        raise PspError(
            f"{model.path}: where are pictures as it was trained on? Name shards or a folder of "
            "photos: --samples DIR"
        )
    if (shards_folder(folder) / MANIFEST).is_file():
        return _of_shards(shards_folder(folder))
    if given is None:
        raise PspError(
            f"{folder}: the shards that it was trained on are not there. Name others, or a folder "
            "of photos: --samples DIR"
        )
    return _of_photos(folder)


def _of_shards(folder: Path) -> "Samples":
    from psp.data.manifest import read_manifest
    from psp.data.shards import ShardSplit
    from psp.predict.explain import Samples

    splits = read_manifest(folder)["splits"]
    split = ShardSplit(folder, "val" if "val" in splits else next(iter(splits)))
    chosen = _spread(len(split))
    title = f"{len(chosen)} pictures of {folder}, {split.split}"
    return Samples((split.image(index) for index in chosen), len(chosen), title)


def _of_photos(folder: Path) -> "Samples":
    from psp.files import read_bytes
    from psp.predict.explain import Samples
    from psp.predict.inputs import find_pictures
    from psp.predict.photos import decode_photo

    paths = list(find_pictures([folder]).values())
    chosen = [paths[index] for index in _spread(len(paths))]
    pictures = (decode_photo(read_bytes(path), str(path)) for path in chosen)
    return Samples(pictures, len(chosen), f"{len(chosen)} pictures of {folder}")


def _spread(count: int) -> list[int]:
    """Return SAMPLES indices at most, spread evenly over `count`."""
    number = min(count, SAMPLES)
    return [index * count // number for index in range(number)]
