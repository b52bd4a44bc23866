"""Tracks of CVAT's "for video": where a shape is in each frame, between its keyframes too."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psp.annotations.cvat_shapes import integer, point_list
from psp.annotations.numbers import size
from psp.annotations.pictures import Pictures
from psp.annotations.records import AnnotatedPicture, Shape
from psp.annotations.xml_file import Element
from psp.errors import PspError

MOST_FRAMES = 1_000_000
MOST_SHAPES = 4_000_000  # in all frames together
_MOVING = {  # attributes that change evenly from one keyframe to the next
    "box": ("xtl", "ytl", "xbr", "ybr"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}


@dataclass(frozen=True)
class Clip:
    """The frames of a task, as the numbers that its tracks use, and the file that has them.

    Tracks count the frames of the clip itself; with a frame filter only some of them are labeled.
    """

    path: Path | None
    step: int
    stop: int | None  # the last frame
    size: tuple[int, int] | None = None  # width and height

    @staticmethod
    def of(source: Path, meta: Element | None, path: Path | None) -> "Clip":
        """Return what the file's <meta> says of the clip. Raises PspError if it is no number."""

        def stated(tag: str) -> int | None:
            found = next(meta.descendants(tag), None) if meta else None
            if found is None or not found.text.strip():
                return None
            text = found.text.strip()
            if not text.isdecimal() or len(text) > 9 or int(text) > MOST_FRAMES:
                raise PspError(f"{source}: line {found.line}: <{tag}> is no frame number")
            return int(text)

        step = 1
        filters = next(meta.descendants("frame_filter"), None) if meta else None
        if filters is not None and filters.text.strip():
            number = filters.text.strip().removeprefix("step=")
            if not number.isdecimal() or not 0 < int(number[:10]) <= MOST_FRAMES:
                raise PspError(f"{source}: line {filters.line}: <frame_filter> is no step=N")
            step = int(number)
        count, stop = stated("size"), stated("stop_frame")
        original = next(meta.descendants("original_size"), None) if meta else None
        sides = [original.child_text(side) for side in ("width", "height")] if original else []
        try:
            frame_size = size(float(sides[0]), float(sides[1])) if all(sides) and sides else None
        except ValueError as error:
            raise PspError(f"{source}: <original_size>: {error}") from None
        return Clip(path, step, count - 1 if stop is None and count else stop, frame_size)


def frames_of(
    source: Path,
    tracks: Sequence[Element],
    clip: Clip,
    files: Pictures,
    near: str,
    given: Path,
    shapes: Callable[[list[Element], str], tuple[Shape, ...]],
) -> Iterator[AnnotatedPicture]:
    """Yield a picture for each labeled frame in which a track can be seen.

    `given` is what the user gave; `shapes` turns elements of one label into shapes. The frames are
    the clip's, or the pictures frame_000012.png that CVAT saves. Raises PspError for neither.
    """
    seen: dict[int, list[tuple[Element, str]]] = {}
    count = 0
    for number, track in enumerate(tracks):
        label = track.attributes.get("label", "")
        try:
            for frame, element in _visible(track, clip):
                seen.setdefault(frame, []).append((element, label))
                count += 1
                if count > MOST_SHAPES:
                    raise ValueError(f"more than {MOST_SHAPES} shapes in all frames together")
        except ValueError as error:
            where = f"line {track.line}: track {number}"
            raise PspError(f"{source}: {where}: {error}. Export it again") from None
    if clip.path is None and not any(_saved(files, near, frame) for frame in sorted(seen)[:8]):
        raise PspError(
            f"{source}: labeled on a video: its frames are needed. Give the clip: "
            f"psp prepare {given} --video clip.mp4"
        )
    for frame in sorted(seen):
        picture = AnnotatedPicture(
            name=f"{source.stem}/frame_{frame:06d}",
            source=source,
            wanted=f"frame_{frame:06d}.png",
            image=clip.path or _saved(files, near, frame),
            frame=frame if clip.path else None,
            size=clip.size,
        )
        try:
            drawn: list[tuple[int, Shape]] = []
            for element, label in seen[frame]:
                height = integer(element, "z_order", 0)
                drawn += [(height, shape) for shape in shapes([element], label)]
        except ValueError as error:
            yield replace(picture, problem=f"{source}: frame {frame}: {error}")
            continue
        ordered = sorted(drawn, key=lambda pair: pair[0])
        yield replace(picture, drawn=tuple(shape for _, shape in ordered))


def _saved(files: Pictures, near: str, frame: int) -> Path | None:
    """Return the file of a frame as CVAT saves it."""
    try:
        return files.find(f"frame_{frame:06d}", near)
    except ValueError:
        return None


def _visible(track: Element, clip: Clip) -> Iterator[tuple[int, Element]]:
    """Yield the frames in which a track's shape can be seen, with the shape there.

    A keyframe with outside="1" ends it. Without one it stays to the last frame. Raises ValueError.
    """
    keys: list[tuple[int, Element]] = []
    for element in track.children:
        if "frame" in element.attributes:
            frame = integer(element, "frame")
            if not 0 <= frame <= MOST_FRAMES:
                raise ValueError(f"line {element.line}: frame {frame} is none of a clip")
            keys.append((frame, element))
    keys.sort(key=lambda key: key[0])
    for position, (frame, element) in enumerate(keys):
        following = keys[position + 1] if position + 1 < len(keys) else None
        if following and following[0] == frame:
            raise ValueError(f"line {following[1].line}: frame {frame} is there twice")
        if element.attributes.get("outside") == "1":
            continue
        end = following[0] if following else 1 + max(frame, clip.stop or 0)
        for number in range(frame, end):
            if number % clip.step == frame % clip.step or number == frame:
                yield number, _between(element, following, frame, number)


def _between(
    element: Element, following: tuple[int, Element] | None, frame: int, number: int
) -> Element:
    """Return a keyframe's shape as it is some frames later, moved evenly towards the next.

    A mask, and a polygon whose next one has another number of points, stays as it is.
    """
    if number == frame or following is None:
        return element
    end, target = following
    if target.tag != element.tag:
        return element
    share = (number - frame) / (end - frame)
    moved = dict(element.attributes)
    if element.tag == "polygon":
        here, there = point_list(element), point_list(target)
        if len(here) != len(there):
            return element
        pairs = zip(here, there, strict=True)
        steps = ([a + share * (b - a) for a, b in zip(*pair, strict=True)] for pair in pairs)
        moved["points"] = ";".join(f"{x!r},{y!r}" for x, y in steps)
    for key in _MOVING.get(element.tag, ()):
        moved[key] = repr(_mixed(element, target, key, share))
    if element.tag in _MOVING and ("rotation" in moved or "rotation" in target.attributes):
        start = float(element.attributes.get("rotation", 0))
        turn = (float(target.attributes.get("rotation", 0)) - start + 180) % 360 - 180
        moved["rotation"] = repr(start + share * turn)
    return replace(element, attributes=moved)


def _mixed(element: Element, target: Element, key: str, share: float) -> float:
    here, there = (float(e.attributes.get(key, "nan")) for e in (element, target))
    return here + share * (there - here)
