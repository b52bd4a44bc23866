"""Find, read and check cards in TOML files. datasets/README.md describes the format."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path

from psp.data.card import Card
from psp.data.cardreader import CardReader
from psp.errors import PspError, nearest
from psp.files import read_bytes

LONGEST = 4 << 20  # bytes of a card; one of 255 classes has 20,000
MOST_DOTS = 1000  # in a line


def shipped() -> dict[str, Path]:
    """Return the files of the cards that come with psp, by name.

    In an installed wheel they are inside the package, in a checkout or editable install beside it.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "datasets", package.parent / "datasets"):
        cards = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        if cards:
            return cards
    raise PspError(f"{package}: the cards of the shipped data sets are missing. Install psp again.")


def find_card(name: str) -> Card:
    """Return the shipped card with that name, or the card in that .toml file."""
    return read_card(card_path(name))


def with_facts(card: Card) -> Card:
    """Return a card with the facts on leaderboards and class orders.

    If the card has none, as those in shards of older versions, they are taken from the shipped card
    with its name, if there is one.
    """
    if card.leaderboard or card.class_order or card.name not in shipped():
        return card
    known = find_card(card.name)
    return replace(card, leaderboard=known.leaderboard, class_order=known.class_order)


def card_path(name: str) -> Path:
    """Return the file of the shipped card with that name; a path that ends in .toml is kept."""
    if name.endswith(".toml"):
        return Path(name)
    known = shipped()
    if name not in known:
        raise PspError(
            f"no card is called '{name}'.{nearest(name, known)} "
            f"Known: {', '.join(known)} (see: psp cards), or the path of a .toml file."
        )
    return known[name]


def read_card(path: Path) -> Card:
    """Read and check a card. Raises PspError that names the file, the class and the key."""
    if not os.path.lexists(path):
        raise PspError(f"card {path}: no such file. To list the shipped cards: psp cards")
    try:
        text = read_bytes(path, LONGEST).decode("utf-8-sig")
        if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
            raise RecursionError  # a key of so many parts also takes tomllib hours
        value = tomllib.loads(text)
    except RecursionError:
        raise PspError(f"card {path}: cannot be read: it is nested too deeply.") from None
    except PspError as error:
        raise PspError(f"card {error}") from None
    except ValueError as error:  # no TOML, or not UTF-8
        raise PspError(f"card {path}: cannot be read: {error}") from None
    return CardReader(path).card(value)
