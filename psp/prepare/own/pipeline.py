"""Own photos and exports of labeling tools into shards: read, described in a card, converted."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from psp.annotations.records import MaskFile
from psp.data.card import IGNORE, Card
from psp.errors import PspError
from psp.events import Notice, Report, ignore
from psp.files import numbered_names, write
from psp.prepare.audit import EmptySplitError
from psp.prepare.conversion import Conversion
from psp.prepare.output import OccupiedError, Prepared, check_output, first_unoccupied
from psp.prepare.own.card import OwnOptions, default_name, draft_card
from psp.prepare.own.classes import has_undrawn
from psp.prepare.own.gather import Gathered, gather
from psp.prepare.own.sources import Sources, open_exports

DATA = Path("data")  # where shards go by default
_MARK = "# unedited: "  # in a card's last line, with a digest of what stands above


# psp.prepare.pipeline.prepare with all options set but raw, out, exports, conversion and report.
Convert = Callable[..., dict[str, Any] | None]


def prepare_own(
    sources: Sources,
    options: OwnOptions,
    out: Path | None,
    convert: Convert,
    conversion: Conversion,
    report: Report = ignore,
) -> Prepared:
    """Convert own data without a card: make one, say what it says, write it beside the shards.

    `out` None is data/NAME, or the first of data/NAME-2, … that is free. A card that a person has
    edited is never replaced. Raises PspError as `open_exports`, `draft_card` and `convert` do; the
    card is then there all the same, if it could be made.
    """
    default = out or DATA / (options.name or default_name(sources.paths))
    check_output(default, sources.all_paths())
    with open_exports(sources, default.parent) as exports:
        draft = draft_card(exports, sources, options, card_beside(default))
        for line in describe(draft.gathered, draft.card_for(card_beside(default))[0]):
            report(Notice(line))
        for line in draft.remarks:
            report(Notice(line))
        for folder in [out] if out else numbered_names(default):
            path = card_beside(folder)
            card, text = draft.card_for(path)
            if _is_others(path, text):
                said = f"{path}: is there and says something else. To use it: psp prepare {path}"
                if out:
                    raise PspError(f"{said}. Or choose another -o")
                report(Notice(said))
                continue
            try:
                manifest = _converted(
                    card, sources, draft.gathered, folder, convert, conversion, report
                )
            except OccupiedError as error:
                if out:
                    raise
                report(Notice(str(error).partition(". ")[0]))
                continue
            except PspError as error:
                write(path, _marked(text))
                raise PspError(f"{str(error).rstrip('.')}. The card is {path}") from None
            write(path, _marked(text))
            report(Notice(f"card: {path} (edit it, then: psp prepare {path})"))
            return Prepared(folder, manifest, card.title)
    raise AssertionError("there is always another number")


def new_card(sources: Sources, options: OwnOptions, path: Path, report: Report = ignore) -> Card:
    """Make the card alone, and write it to `path`. Raises PspError if another card is there."""
    with open_exports(sources, path.parent) as exports:
        draft = draft_card(exports, sources, options, path)
        card, text = draft.card_for(path)
        if _is_others(path, text):
            raise PspError(f"{path}: is there and says something else. Choose another -o")
        write(path, _marked(text))
        for line in (*describe(draft.gathered, card), *draft.remarks):
            report(Notice(line))
    return card


def card_sources(card: Card, path: Path) -> Sources:
    """Return the sources that a card of own data remembers; they are relative to its file."""
    assert card.exports is not None
    table = card.exports

    def from_card(text: str) -> Path:
        return Path(os.path.normpath(path.parent / text))

    return Sources(
        paths=tuple(from_card(text) for text in table.sources),
        images=from_card(table.images) if table.images else None,
        video=from_card(table.video) if table.video else None,
        format=table.format,
        masks=table.masks,
    )


def prepare_remembered(
    card: Card,
    path: Path,
    out: Path | None,
    convert: Convert,
    conversion: Conversion,
    report: Report = ignore,
) -> Prepared:
    """Convert the sources that the card in the file `path` remembers.

    `out` None is data/CARD, or the first of data/CARD-2, … that is free.
    """
    sources = card_sources(card, path)
    assert card.exports is not None
    default = out or DATA / card.name
    check_output(default, sources.all_paths())
    with open_exports(sources, default.parent) as exports:
        gathered = gather(exports, card.exports)
        for line in describe(gathered, card):
            report(Notice(line))

        def run(folder: Path) -> dict[str, Any] | None:
            return _converted(card, sources, gathered, folder, convert, conversion, report)

        done = (out, run(out)) if out else first_unoccupied(default, run, report)
    return Prepared(*done, card.title)


def _converted(
    card: Card,
    sources: Sources,
    gathered: Gathered,
    out: Path,
    convert: Convert,
    conversion: Conversion,
    report: Report,
) -> dict[str, Any] | None:
    assert card.exports is not None
    check_output(out, sources.all_paths())
    if conversion.max_side is None:
        conversion = replace(conversion, max_side=card.exports.max_side)
    run = partial(convert, card, sources.paths[0], out, conversion=conversion, report=report)
    try:
        return run(gathered=gathered)
    except EmptySplitError as error:  # bad pictures may be skipped, and are all that was drawn
        again = gather(gathered.exports, card.exports, error.bad)
        if again.pictures == gathered.pictures:
            raise
        report(Notice("val is drawn again, as all of its pictures are left out"))
        return run(gathered=again)


def card_beside(folder: Path) -> Path:
    """Return the card's file beside a folder of shards: data/garden.toml."""
    return folder.with_name(f"{folder.name}.toml")


def describe(gathered: Gathered, card: Card) -> Iterator[str]:
    """Yield what own data were taken for, a line each."""
    exports, table = gathered.exports, card.exports
    assert table is not None
    for export in exports:
        masks = sum(isinstance(picture.drawn, MaskFile) for picture in export.pictures)
        shapes = sum(len(p.drawn) for p in export.pictures if not isinstance(p.drawn, MaskFile))
        parts = [f"{masks} with masks" if masks else "", _count(shapes, "shape") if shapes else ""]
        yield (
            f"read as {export.format}: {_count(len(export.pictures), 'picture')}, "
            f"{' and '.join(filter(None, parts)) or 'nothing drawn'}"
        )
    yield f"{_count(len(card.classes), 'class')}: {', '.join(card.names)}"
    ignored = [name for name, index in table.labels.items() if index == IGNORE]
    drawn_over = "ignored" if table.undrawn == IGNORE else f"'{card.names[table.undrawn]}'"
    if any(map(has_undrawn, exports)):
        yield f"pixels that nothing was drawn on are {drawn_over} (--undrawn)"
    if ignored:
        yield f"not trained on and not scored: {', '.join(ignored)}"
    counts = Counter(split for _, _, split in gathered.pictures)
    stated = {picture.split for export in exports for picture in export.pictures}
    how = "as they are there" if "val" in stated else "val is drawn"
    if "val" not in counts:
        how = "nothing to validate on"
    order = [name for name in (split.name for split in card.splits) if name in counts]
    yield f"splits, {how}: {', '.join(f'{name} {counts[name]}' for name in order)}"
    if table.max_side:
        yield f"pictures are stored with a long side of at most {table.max_side} (--max-side)"


def _count(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"


def _marked(text: str) -> bytes:
    return f"{text}{_MARK}{_digest(text)}\n".encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_others(path: Path, text: str) -> bool:
    """Whether a file is there that a person wrote or edited, and that is not the same card."""
    if not path.exists():
        return False
    there = path.read_text(encoding="utf-8", errors="replace")
    body, mark, digest = there.rpartition(_MARK)
    if body == text or there == text:
        return False
    return not (mark and digest.strip() == _digest(body))
