"""How pictures are seen: what the options of psp evaluate and psp predict ask for."""

from dataclasses import dataclass, field, replace
from typing import Any

from psp.errors import PspError
from psp.model.procedures.registry import PROCEDURES, find_rules
from psp.model.procedures.rules import PAPER_SCALES, Rules
from psp.settings.augmentation import nearest_crops
from psp.settings.resize import LARGEST_SIDE, Target, parse_resize, width_height
from psp.settings.size import Size

__all__ = ["PAPER_SCALES", "PROCEDURES", "Procedure", "other_scale"]

BLENDS = ("uniform", "taper")
SIDES = (9, 4097)  # of windows that are named


@dataclass(frozen=True)
class Procedure:
    """How pictures are seen. `base_size` is the long side at scale 1; None leaves it as it is.

    `max_side` shrinks pictures with a longer side to it, as `psp prepare --max-side` did with those
    that were trained on, and enlarges none. It does not count beside a `base_size` or `resize`.

    `name` is whose rules are followed (`psp.model.procedures`): in `torch` the probabilities of the
    mirrored windows are averaged, in `caffe` their logits are summed, and so on.

    `windows`: `square` with the side `crop`, which counts for nothing else; `whole`, one window as
    large as the picture; or WIDTHxHEIGHT. They start every `stride` pixels (one number, or
    WIDTHxHEIGHT), two thirds of their side if None. `resize`: short:N, or WIDTHxHEIGHT to fit
    inside, turned as the picture is. `blend`: overlapping windows count the same (`uniform`), or
    less towards those of their borders behind which another window continues (`taper`). `changed`
    says which of all this is not what the named procedure has; nothing depends on it.
    """

    crop: int | None
    base_size: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    name: str = "torch"
    max_side: int | None = None
    windows: str = "square"
    stride: str | None = None
    resize: str | None = None
    blend: str = "uniform"
    changed: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name, value in (("crop", self.crop), ("base-size", self.base_size)):
            if value is not None and type(value) is not int:
                raise PspError(f"--{name} {value!r}: a whole number.")
        if not all(isinstance(scale, (int, float)) for scale in self.scales):
            raise PspError(f"--scales {self.scales}: numbers between 0.05 and 10.")
        if self.windows == "square":
            if self.crop is None:
                raise PspError("--windows square: give their side: --crop N.")
            if self.crop > 4097:
                raise PspError(f"--crop {self.crop}: 4097 at most.")
            if self.crop < 9 or self.crop % 8 != 1:
                raise PspError(
                    f"--crop {self.crop}: a window must be 8n+1. Nearest good ones: "
                    f"{_near(self.crop)}."
                )
        if not self.scales or not all(0.05 <= scale <= 10 for scale in self.scales):
            raise PspError(f"--scales {self.scales}: numbers between 0.05 and 10.")
        if len(set(self.scales)) < len(self.scales):
            raise PspError(f"--scales {self.scales}: one of them stands twice.")
        if self.base_size is not None and not 1 <= self.base_size <= LARGEST_SIDE:
            raise PspError(f"--base-size {self.base_size}: 1 to {LARGEST_SIDE}.")
        find_rules(self.name)
        if self.blend not in BLENDS:
            raise PspError(f"--blend {self.blend}: one of {', '.join(BLENDS)}.")
        self._check_windows()
        if self.resize is not None:
            parse_resize(self.resize)

    def _check_windows(self) -> None:
        window, stride = self.window, parse_stride(self.stride)
        low, high = SIDES
        named = window if self.windows != "square" else None
        if named is not None and not all(low <= side <= high for side in named):
            raise PspError(f"--windows {self.windows}: each side must be {low} to {high}.")
        if stride is None:
            return
        if window is None:
            raise PspError(f"--stride {self.stride}: a whole picture is one window. Leave it out")
        if any(step > side for step, side in zip(stride, window, strict=True)):
            raise PspError(
                f"--stride {self.stride}: windows of {window} would leave pixels "
                "out. The stride can be as large as the window at most"
            )

    def check_sides(self, align_corners: bool) -> None:
        """Raise PspError for windows that do not fit a network's way of upsampling.

        One that aligns corners needs sides of 8n+1, so that its maps' pixels lie on the picture's.
        """
        if self.windows == "square" or not align_corners or self.window is None:
            return
        for side in self.window:
            if side % 8 != 1:
                raise PspError(
                    f"--windows {self.windows}: this network needs sides of 8n+1. Instead of "
                    f"{side}: {(side - 1) // 8 * 8 + 1} or {(side + 6) // 8 * 8 + 1}."
                )

    @property
    def rules(self) -> Rules:
        """What the named procedure fixes."""
        return find_rules(self.name)

    @property
    def mirrors_windows(self) -> bool:
        """Whether each window goes through the network mirrored, too."""
        return self.flip and self.rules.mirrors == "window"

    @property
    def window(self) -> Size | None:
        """A window's width and height; None: as large as the picture."""
        if self.windows == "square":
            assert self.crop is not None  # checked above
            return Size(self.crop, self.crop)
        return parse_windows(self.windows)

    @property
    def steps(self) -> Size | None:
        """The stride across and down; None: two thirds of the window."""
        return parse_stride(self.stride)

    def target(self, longest: int) -> Target:
        """Return the sides at scale 1 of a picture whose long side is `longest`."""
        if self.resize is not None:
            return parse_resize(self.resize)
        return Target(long=self.long_side(longest))

    def long_side(self, longest: int) -> int | None:
        """Return the long side at scale 1 of a picture whose own is `longest`; None: that one."""
        if self.base_size is None and self.max_side is not None and longest > self.max_side:
            return self.max_side
        return self.base_size

    @property
    def label(self) -> str:
        """A short name for files: ss, ss-flip, ms-flip, ms-flip-caffe, ss-taper, …"""
        scales = {(1.0,): "ss", self.rules.scales: "ms", PAPER_SCALES: "ms"}.get(
            self.scales, "s" + "_".join(f"{scale:g}" for scale in self.scales)
        )
        parts = ["flip"] * self.flip + [self.name] * (self.name != "torch")
        return "-".join([scales, *parts, *[self.blend] * (self.blend != "uniform")])

    @property
    def windows_text(self) -> str:
        """What the windows are, for people: "windows of 473"."""
        if self.window is None:
            return "whole pictures"
        size = str(self.crop) if self.windows == "square" else self.windows
        stride = f" every {self.stride}" if self.stride else ""
        return f"windows of {size}{stride}{', tapered' * (self.blend == 'taper')}"

    @property
    def size_text(self) -> str:
        """What pictures are resized to, for people: "long side 512"."""
        if self.resize is None:
            return f"long side {self.base_size}"
        side = self.resize.removeprefix("short:")
        return f"short side {side}" if side != self.resize else f"size that fits into {side}"

    @property
    def description(self) -> str:
        """One line for people."""
        scales = {(1.0,): "single scale", PAPER_SCALES: "the paper's six scales"}.get(
            self.scales, "scales " + ", ".join(f"{scale:.3g}" for scale in self.scales)
        )
        size = self.size_text
        if not (self.resize or self.base_size):
            size = "pictures at their own size"
            if self.max_side:
                size = f"long side {self.max_side} at most, as trained"
        flip = "with flip" if self.flip else "without flip"
        whose = f" · {self.rules.title}" if self.name != "torch" else ""
        changed = f" · changed: {', '.join(self.changed)}" if self.changed else ""
        return f"{scales} {flip} · {self.windows_text} · {size}{whose}{changed}"


# Fields that earlier versions did not have, with what they did: so a fingerprint of their settings
# is still the same.
LATER: dict[str, Any] = {
    "max_side": None,
    "windows": "square",
    "stride": None,
    "resize": None,
    "blend": "uniform",
}


@dataclass(frozen=True)
class Published:
    """The procedure that weights were published with, as their file carries it."""

    name: str
    windows: str = "square"
    stride: str | None = None
    resize: str | None = None  # None: the file's base size

    def __post_init__(self) -> None:
        procedure = Procedure(41, name=self.name, windows="41x41", resize=self.resize)
        if self.windows != "square":
            replace(procedure, windows=self.windows, stride=self.stride)

    @property
    def description(self) -> str:
        """What is fixed, for people: "mmseg, windows of 97x97, size that fits into 2048x512"."""
        procedure = Procedure(41, windows=self.windows, stride=self.stride, resize=self.resize)
        parts = [self.name]
        if self.windows != "square":
            parts.append(procedure.windows_text)
        if self.resize:
            parts.append(procedure.size_text)
        return ", ".join(parts)


def parse_windows(text: str) -> Size | None:
    """Return the width and height of WIDTHxHEIGHT, or None for `whole`. Raises PspError."""
    if text == "whole":
        return None
    return width_height(text, f"--windows {text}: square, whole, or WIDTHxHEIGHT such as 683x512.")


def parse_stride(text: str | None) -> Size | None:
    """Return a stride across and down, of one number or two. Raises PspError."""
    if text is None:
        return None
    both = text if "x" in text else f"{text}x{text}"
    pair = width_height(
        both, f"--stride {text}: a number of pixels, or ACROSSxDOWN such as 455x342."
    )
    if min(pair) < 1:
        raise PspError(f"--stride {text}: 1 at least.")
    return pair


def _near(side: int) -> str:
    return " or ".join(map(str, nearest_crops(side)))


def other_scale(
    procedure: Procedure, base_size: int | None, max_side: int | None, stored: int | None = None
) -> str | None:
    """Return a remark where pictures are seen at another scale than the network was trained at.

    It was trained with `base_size` and `max_side`; `stored` is the long side to which the pictures
    to score were shrunk when they were prepared. None: the scale is that of the training.
    """
    if procedure.name not in ("torch", "caffe"):
        return None  # its own rules, not those of psp's training
    trained = "at their own size"
    if base_size is not None:
        trained = f"at a long side of {base_size}"
    elif max_side is not None:
        trained = f"shrunk to a long side of {max_side} at most"
    if procedure.resize is not None or procedure.base_size != base_size:
        if procedure.base_size is None and procedure.resize is None:
            seen = "left at their own size"
        else:
            seen = f"brought to a {procedure.size_text}".replace("side ", "side of ")
        return f"pictures are {seen}, but the network was trained on pictures {trained}"
    if base_size is None and stored is not None and (max_side is None or stored < max_side):
        return (
            f"these pictures were shrunk to a long side of {stored}, but the network was trained "
            f"on pictures {trained}: another scale"
        )
    return None
