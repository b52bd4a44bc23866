"""What psp predict says when it is done."""

from collections.abc import Sequence
from typing import Any

import typer

from psp.cli.console import say
from psp.cli.tables.scores import procedure_line
from psp.errors import printable
from psp.files import json_line
from psp.images.kinds import LeftOut
from psp.predict.packs import pack_name
from psp.predict.pipeline import PredictRequest, PredictResult
from psp.predict.records import RECORDS
from psp.ranks import Share
from psp.runs import Model

MOST_NAMES = 1000  # in --json


def show_predictions(
    result: PredictResult,
    counts: Sequence[int],
    request: PredictRequest,
    source: Model,
    rank: Share,
    as_json: bool,
    quiet: bool,
    left_out: LeftOut,
) -> None:
    """Print where the results are; exit with code 3 if some failed or were not readable."""
    predicted, skipped, failed = counts
    if as_json:
        _print_json(result, request.share, left_out)
    elif rank.first:
        print(printable(str(result.out)))
    if rank.first and not quiet:
        _say_result(predicted, skipped, result, request, source)
    if rank.first and failed:
        say(f"{_pictures(failed)} failed, listed above and in {RECORDS}")
    if failed or left_out.pictures:
        raise typer.Exit(3)


def _print_json(result: PredictResult, share: Share, left_out: LeftOut) -> None:
    names: dict[str, list[Any]] = {
        "predicted": list(result.predicted),
        "skipped": list(result.skipped),
        "failed": [{"name": name, "error": error} for name, error in result.failed],
    }
    counts = {kind: len(items) for kind, items in names.items()}
    few = sum(counts.values()) <= MOST_NAMES
    record = {
        "out": str(result.out),
        "part": str(share),
        "counts": counts,
        **(names if few else dict.fromkeys(names)),  # null: they are in predictions.jsonl
        "remarks": dict(result.remarks),
        "unread": left_out.pictures,  # of kinds that psp does not read, by suffix
    }
    print(json_line(record))


def _say_result(
    predicted: int,
    skipped: int,
    result: PredictResult,
    request: PredictRequest,
    model: Model,
) -> None:
    from psp.cli.console import say
    from psp.model.procedure import other_scale

    if skipped:
        say(f"{_pictures(skipped)} predicted already, and skipped")
    writers = [writer for writer in request.writers if writer.name != "gallery"]
    kinds = [place for writer in writers for place in writer.places]
    if request.pack:
        kinds = [pack_name(k[:-1], request.share) if k.endswith("/") else k for k in kinds]
    places = ", ".join(kinds)
    where = f"{places} and more in {result.out}" if result.out.is_dir() else str(result.out)
    say(f"{_pictures(predicted)} predicted: {where}")
    if len(writers) < len(request.writers):
        say(f"look at them in a browser: {result.out / 'index.html'}")
    for text, count in result.remarks.items():
        say(f"{count} {text}")
    how = procedure_line(model.which, result.header, result.procedure, result.precision)
    say(f"{model.path.parent if model.run else model.path}: {how}")
    header = result.header
    if remark := other_scale(result.procedure, header.base_size, header.max_side):
        say(remark)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
