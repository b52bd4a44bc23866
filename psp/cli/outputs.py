"""What psp predict is to write: --write and what adds to it, overlays, and -o."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psp.cli.options import one_of
from psp.cli.video import film_of
from psp.errors import PspError
from psp.predict.packs import KINDS
from psp.predict.writers.registry import DEFAULT, find_writers

if TYPE_CHECKING:
    from psp.images.video import Clip
    from psp.predict.frames import FrameFolder
    from psp.predict.writers.writer import Writer
    from psp.render import OverlayStyle

MOST_IN_GALLERY = 5000  # pictures


@dataclass(frozen=True)
class Outputs:
    """What a call writes, and where; `to_file`: the overlay of its picture as the file `out`."""

    out: Path
    to_file: bool
    writers: tuple["Writer", ...]
    overlay: "OverlayStyle | None"
    film: "Clip | FrameFolder | None" = None


def outputs_of(options: Mapping[str, Any], ranks: int) -> Outputs:
    """Return what the options say. Raises PspError for those that contradict each other.

    `options` are the command's variables by their names, `ranks` how many processes do its work.
    """
    from psp.predict.inputs import default_out
    from psp.predict.one_file import is_one_file

    film = film_of(options, ranks)
    if options["pack"] is not None:
        one_of("--pack", options["pack"], KINDS)
        if film is not None:
            raise PspError("--pack: a video's frames are not packed. Leave it out")
    out: Path | None = options["out"]
    to_file = out is not None and is_one_file(out)
    if out is not None and to_file:
        given = [
            f"--{name}"
            for name in ("probabilities", "rank", "part", "pack")
            if options[_NAMES[name]]
        ]
        check_one_file(out, options["images"], options["write"], given, ranks)
    names = _writer_names(options["write"], options["probabilities"], options["rank_by"])
    if "gallery" in names and options["pack"]:
        raise PspError("--pack: the gallery shows files that are not packed. Leave one of them out")
    if "gallery" in names and options["part"]:
        raise PspError("--part: the gallery is made by a call for all pictures. Leave it out")
    if film is not None and options["write"] is None:
        names = names[len(DEFAULT) :]
    writers = find_writers(names) if names or film is None else ()
    if options["gallery"] and not to_file and film is None and _has_gallery(options):
        writers = find_writers([*names, "gallery"])
    draws = film is not None or any(writer.draws for writer in writers)
    overlay = _overlay_of(options["overlay_style"], options["overlay_strength"], draws)
    place = out or default_out(options["named"])
    if out is None and options["fps"] is not None:  # not that of the same files as pictures
        place = place.with_name(f"{place.name}-video")
    return Outputs(place, to_file, writers, overlay, film)


_NAMES = {"probabilities": "probabilities", "rank": "rank_by", "part": "part", "pack": "pack"}


def _writer_names(listed: str | None, probabilities: bool, rank_by: str | None) -> list[str]:
    """Return the names in the value of --write, and what --probabilities and --rank add."""
    names = list(DEFAULT)
    if listed is not None:
        names = [name for part in listed.split(",") if (name := part.strip())]
    if probabilities:
        names.append("probabilities")
    if rank_by is not None:
        names.append(one_of("--rank", rank_by, ("uncertain",)))
    return names


def _has_gallery(options: Mapping[str, Any]) -> bool:
    """Whether there is a gallery if none is refused. It is said if there are too many pictures."""
    pictures = len(options["pictures"])
    if options["part"] or options["pack"] or pictures <= MOST_IN_GALLERY:
        return not options["part"] and not options["pack"]
    if not options["silent"]:
        from psp.cli.console import say

        say(f"no gallery: {pictures:,} pictures, and {MOST_IN_GALLERY:,} are the most in one")
    return False


def _overlay_of(name: str | None, strength: float | None, draws: bool) -> "OverlayStyle | None":
    """Return how overlays are drawn; None if none are, and PspError if that is asked for then."""
    from psp.render import OverlayStyle

    given = "--overlay-style" if name else "--overlay-strength" if strength is not None else None
    if given and not draws:
        raise PspError(f"{given}: no overlays are written. Add them: --write overlays,…")
    return OverlayStyle(name or OverlayStyle().name, strength) if draws else None


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
