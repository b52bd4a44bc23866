"""What psp predict is to write: --write and what adds to it, overlays, and -o."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psp.cli.options import one_of
from psp.errors import PspError
from psp.predict.writers.registry import DEFAULT, find_writers

if TYPE_CHECKING:
    from psp.predict.writers.writer import Writer
    from psp.render import OverlayStyle


MOST_IN_GALLERY = 5000  # pictures


def writers_of(
    listed: str | None, probabilities: bool, rank_by: str | None, gallery: bool
) -> tuple["Writer", ...]:
    """Return the writers in the value of --write, and what other options add."""
    names = list(DEFAULT)
    if listed is not None:
        names = [name for part in listed.split(",") if (name := part.strip())]
    if probabilities:
        names.append("probabilities")
    if rank_by is not None:
        names.append(one_of("--rank", rank_by, ("uncertain",)))
    find_writers(names)  # which may not be empty: the gallery comes along
    return find_writers([*names, "gallery"] if gallery else names)


def has_gallery(wanted: bool, part: str | None, pictures: int, silent: bool) -> bool:
    """Whether a call makes a gallery. It is said if it is not, because there are too many."""
    if wanted and not part and pictures > MOST_IN_GALLERY and not silent:
        from psp.cli.console import say

        say(f"no gallery: {pictures:,} pictures, and {MOST_IN_GALLERY:,} are the most in one")
    return wanted and not part and pictures <= MOST_IN_GALLERY


def overlay_of(
    name: str | None, strength: float | None, writers: Sequence["Writer"]
) -> "OverlayStyle":
    """Return how overlays are drawn. Raises PspError if that is asked for, and none is written."""
    from psp.render import OverlayStyle

    given = "--overlay-style" if name else "--overlay-strength" if strength is not None else None
    if given and not any(writer.draws for writer in writers):
        raise PspError(f"{given}: no overlays are written. Add them: --write overlays,…")
    return OverlayStyle(name or OverlayStyle().name, strength)


def check_one_file(
    out: Path, images: Sequence[Path], listed: str | None, others: Sequence[str], ranks: int
) -> None:
    """Raise PspError where it is unclear what `-o result.png` would be.

    It is the overlay of one picture that is named by its file. `others` are the options given that
    ask for more, or for a part.
    """
    if listed not in (None, "overlays"):
        others = ["--write", *others]
    if others:
        raise PspError(
            f"-o {out}: one file, the overlay alone; {others[0]} needs a folder. Leave it out, or "
            f"name a folder: -o {out.with_suffix('')}"
        )
    if len(images) != 1 or not images[0].is_file():
        raise PspError(
            f"-o {out}: one file, which is for one picture: psp predict photo.jpg -o {out}. For "
            f"more, name a folder: -o {out.with_suffix('')}"
        )
    if ranks > 1:
        raise PspError(f"-o {out}: one file, and torchrun's ranks share folders. Leave it out")
