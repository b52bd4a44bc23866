"""How pictures are seen: what the options of psp evaluate and psp predict ask for."""

from dataclasses import dataclass

from psp.errors import PspError
from psp.settings.augmentation import nearest_crops

PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
PROCEDURES = ("torch", "caffe")


@dataclass(frozen=True)
class Procedure:
    """How pictures are seen. `base_size` is the long side at scale 1; None leaves it as it is.

    `max_side` shrinks pictures with a longer side to it, as `psp prepare --max-side` did with those
    that were trained on, and enlarges none. It does not count beside a `base_size`.

    `name` is which of the authors' two procedures: in `torch` the probabilities of the mirrored
    windows are averaged, in `caffe` their logits are summed; windows.py has the other differences.
    """

    crop: int
    base_size: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    name: str = "torch"
    max_side: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("crop", self.crop), ("base-size", self.base_size)):
            if value is not None and type(value) is not int:
                raise PspError(f"--{name} {value!r}: a whole number.")
        if not all(isinstance(scale, (int, float)) for scale in self.scales):
            raise PspError(f"--scales {self.scales}: numbers between 0.05 and 10.")
        if self.crop > 4097:
            raise PspError(f"--crop {self.crop}: 4097 at most.")
        if self.crop < 9 or self.crop % 8 != 1:
            near = " or ".join(map(str, nearest_crops(self.crop)))
            raise PspError(f"--crop {self.crop}: a window must be 8n+1. Nearest good ones: {near}.")
        if not self.scales or not all(0.05 <= scale <= 10 for scale in self.scales):
            raise PspError(f"--scales {self.scales}: numbers between 0.05 and 10.")
        if len(set(self.scales)) < len(self.scales):
            raise PspError(f"--scales {self.scales}: one of them stands twice.")
        if self.base_size is not None and not 1 <= self.base_size <= 32768:
            raise PspError(f"--base-size {self.base_size}: 1 to 32768.")
        if self.name not in PROCEDURES:
            raise PspError(f"--procedure {self.name}: one of {', '.join(PROCEDURES)}.")

    def long_side(self, longest: int) -> int | None:
        """Return the long side at scale 1 of a picture whose own is `longest`; None: that one."""
        if self.base_size is None and self.max_side is not None and longest > self.max_side:
            return self.max_side
        return self.base_size

    @property
    def label(self) -> str:
        """A short name for files: ss, ss-flip, ms-flip, ms-flip-caffe, …"""
        scales = {(1.0,): "ss", PAPER_SCALES: "ms"}.get(
            self.scales, "s" + "_".join(f"{scale:g}" for scale in self.scales)
        )
        return scales + "-flip" * self.flip + "-caffe" * (self.name == "caffe")

    @property
    def description(self) -> str:
        """One line for people."""
        scales = {(1.0,): "single scale", PAPER_SCALES: "the paper's six scales"}.get(
            self.scales, "scales " + ", ".join(f"{scale:g}" for scale in self.scales)
        )
        size = "pictures at their own size"
        if self.base_size:
            size = f"long side {self.base_size}"
        elif self.max_side:
            size = f"long side {self.max_side} at most, as trained"
        flip = "with flip" if self.flip else "without flip"
        release = " · the Caffe release's procedure" if self.name == "caffe" else ""
        return f"{scales} {flip} · windows of {self.crop} · {size}{release}"


def other_scale(
    procedure: Procedure, base_size: int | None, max_side: int | None, stored: int | None = None
) -> str | None:
    """Return a remark where pictures are seen at another scale than the network was trained at.

    It was trained with `base_size` and `max_side`; `stored` is the long side to which the pictures
    to score were shrunk when they were prepared. None: the scale is that of the training.
    """
    trained = "at their own size"
    if base_size is not None:
        trained = f"at a long side of {base_size}"
    elif max_side is not None:
        trained = f"shrunk to a long side of {max_side} at most"
    if procedure.base_size != base_size:
        return (
            f"pictures are brought to a long side of {procedure.base_size}, but the network was "
            f"trained on pictures {trained}"
        )
    if base_size is None and stored is not None and (max_side is None or stored < max_side):
        return (
            f"these pictures were shrunk to a long side of {stored}, but the network was trained "
            f"on pictures {trained}: another scale"
        )
    return None
