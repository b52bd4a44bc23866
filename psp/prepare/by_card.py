"""Prepare by a card: a shipped one or a file of the user's, whose sources it may remember."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from psp.data.card import Card
from psp.data.cardfile import card_path, read_card
from psp.errors import PspError
from psp.events import Report
from psp.prepare.conversion import Conversion
from psp.prepare.output import Prepared, first_unoccupied
from psp.prepare.own.pipeline import DATA, Convert, prepare_remembered


def prepare_by_card(
    given: Sequence[str],
    out: Path | None,
    sbd: Path | None,
    convert: Convert,
    conversion: Conversion,
    report: Report,
    *,
    keep_sizes: bool = False,
) -> Prepared:
    """Convert the data set of a card; `given` is the card and the folder of the download.

    The folder may be left out for a card that remembers its sources; `keep_sizes` overrides its
    max_side. `out` None is data/CARD, or the first free data/CARD-2, …. Raises PspError if the
    folder is missing, and as `prepare` does.
    """
    path = card_path(given[0])
    card = read_card(path)
    if keep_sizes and card.exports:
        card = replace(card, exports=replace(card.exports, max_side=None))
    if card.exports and len(given) == 1:
        return prepare_remembered(card, path, out, convert, conversion, report)
    if len(given) != 2:
        raise PspError(_count_message(given, card))
    run = partial(convert, card, Path(given[1]), sbd=sbd, conversion=conversion, report=report)
    if out is not None:
        return Prepared(out, run(out), card.title)
    return Prepared(*first_unoccupied(DATA / card.name, run, report), card.title)


def _count_message(given: Sequence[str], card: Card) -> str:
    if card.exports:
        return (
            f"card {card.name} remembers its sources. Give the card alone, or change 'sources' "
            "in it"
        )
    if len(given) == 1:
        return (
            f"card {card.name}: give the folder of its unpacked download too: "
            f"psp prepare {given[0]} FOLDER (where to get it: psp cards show {given[0]})"
        )
    return f"psp prepare {' '.join(given)}: a card and one folder are enough"
