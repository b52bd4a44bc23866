"""Which procedure a command takes: what its options say, and else what the weights carry."""

from dataclasses import dataclass, replace

from psp.errors import PspError
from psp.model.procedure import Procedure, Published, parse_windows
from psp.model.weights import Header
from psp.settings.resize import parse_resize
from psp.settings.size import Sides, size_of


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user says of the procedure; None, as for everything else, leaves it to the weights.

    Called with the header of a weights file, it returns the procedure. That is the one `named`, or
    the one that the weights were published with, or `torch`. It fixes all that no option sets. With
    `predicting`, as psp predict does it, there is no flip and one scale unless they are asked for,
    and the windows of weights that carry no procedure are tapered.
    """

    named: str | None = None
    scales: tuple[float, ...] | None = None
    multi_scale: bool = False
    flip: bool | None = None
    crop: int | None = None
    base_size: int | None = None
    windows: str | None = None
    stride: str | None = None
    resize: str | None = None
    blend: str | None = None
    predicting: bool = False

    def __post_init__(self) -> None:
        if self.scales and self.multi_scale:
            raise PspError("--scales and --multi-scale: use only one of them.")
        if self.base_size is not None and self.resize is not None:
            raise PspError(
                f"--base-size and --resize: use only one of them; --base-size {self.base_size} is "
                f"--resize long:{self.base_size}."
            )
        if self.crop is not None and self.windows not in (None, "square"):
            raise PspError(
                f"--crop is the side of square windows. With --windows {self.windows}, leave it out"
            )
        if self.resize not in (None, "own"):
            parse_resize(str(self.resize))

    def __call__(self, header: Header) -> Procedure:
        """Return the procedure for these weights. Raises PspError for what does not fit them."""
        carried = header.procedure
        name = self.named or (carried.name if carried else "torch")
        fixed = self._fixed(name, header)
        chosen = self._sized(self._windowed(fixed, header), header)
        if self.blend is not None:
            chosen = replace(chosen, blend=self.blend)
        elif self.predicting and not self.named and not carried:
            chosen = replace(chosen, blend="taper")
        if self.flip is not None:
            chosen = replace(chosen, flip=self.flip)
        if header.windows is not None:
            _check_only(header.windows, chosen, header.architecture.align_corners)
        chosen.check_sides(header.architecture.align_corners)
        if self.named or carried:
            chosen = replace(chosen, changed=tuple(_changes(fixed, chosen)))
        return chosen

    def _fixed(self, name: str, header: Header) -> Procedure:
        """Return the procedure as it is without the options that override it."""
        carried = header.procedure
        plain = Procedure(41, name=name)  # checks the name
        rules = plain.rules
        if carried is None or _family(carried.name) != _family(name):
            carried = Published(name, rules.windows, resize=rules.resize)
        several = self.multi_scale or (self.scales is not None and self.scales != (1.0,))
        flip = rules.multi_flip if several else rules.flip
        windows = _square(header.crop, carried.windows, header.architecture.align_corners)
        own = several and rules.own_sizes
        resize = None if own else carried.resize
        return Procedure(
            crop=_side(header.crop),
            base_size=None if own or resize else header.base_size,
            max_side=None if own or resize else header.max_side,
            scales=rules.scales if self.multi_scale else self.scales or (1.0,),
            flip=flip and (self.named is not None or not self.predicting),
            name=name,
            windows=windows,
            stride=carried.stride,
            resize=resize,
        )

    def _windowed(self, fixed: Procedure, header: Header) -> Procedure:
        """Return the procedure with the windows and the stride that are asked for."""
        windows = self.windows or ("square" if self.crop is not None else None)
        if windows is None and header.windows and not _is_only(header.windows, fixed):
            fixed = replace(fixed, windows=header.windows, stride=None)
        if windows is None:
            return replace(fixed, stride=self.stride) if self.stride else fixed
        crop = _side(header.crop) if self.crop is None else self.crop
        if crop is None and windows == "square":
            raise PspError(
                f"--windows square: the network was trained on crops of {header.crop}, and its "
                "windows are as large. Leave it out, or give a side: --crop N"
            )
        if crop is not None:
            windows = _square(crop, windows, header.architecture.align_corners)
        return replace(fixed, crop=crop, windows=windows, stride=self.stride)

    def _sized(self, chosen: Procedure, header: Header) -> Procedure:
        """Return the procedure with the size of pictures that is asked for."""
        if self.base_size is not None:
            return replace(chosen, base_size=self.base_size, resize=None, max_side=header.max_side)
        if self.resize is None:
            return chosen
        if self.resize == "own":
            return replace(chosen, base_size=None, resize=None, max_side=None)
        target = parse_resize(self.resize)
        if target.short is None:
            return replace(chosen, base_size=target.long, resize=None, max_side=None)
        return replace(chosen, base_size=None, resize=self.resize, max_side=None)


def _side(crop: Sides) -> int | None:
    """Return the side of a square crop; None of another."""
    return crop if isinstance(crop, int) else None


def _square(crop: Sides, windows: str, align_corners: bool) -> str:
    """Return the windows; square ones by both sides where only they may have any side.

    The authors' square windows are 8n+1 and padded, for networks that align corners. For networks
    whose crops are no squares, they are as large as those.
    """
    if windows == "square" and isinstance(crop, str):
        return crop
    if windows == "square" and size_of(crop).width % 8 != 1 and not align_corners:
        return f"{crop}x{crop}"
    return windows


def _is_only(windows: str, procedure: Procedure) -> bool:
    """Whether a procedure has the only windows that an ONNX file takes."""
    return procedure.window == parse_windows(windows)


def _check_only(windows: str, chosen: Procedure, align_corners: bool) -> None:
    """Raise PspError for windows that an ONNX file, which takes `windows` alone, does not."""
    if not _is_only(windows, chosen):
        raise PspError(
            f"{chosen.windows_text}: this ONNX file takes windows of {windows} alone. Leave the "
            "option out, or export another file: psp export MODEL OUT.onnx --size"
        )
    sides = parse_windows(windows) or ()
    if align_corners and any(side % 8 != 1 for side in sides):
        raise PspError(
            f"this ONNX file takes windows of {windows} alone, and its network needs sides of 8n+1 "
            "to put windows side by side. Export another: psp export MODEL OUT.onnx --size 473"
        )


def _family(name: str) -> str:
    """Return the program whose procedure it is, of whichever version."""
    return name.partition("-")[0]


def _changes(fixed: Procedure, chosen: Procedure) -> list[str]:
    """Return what options override, in words."""
    changes = []
    if (chosen.windows, chosen.crop, chosen.stride) != (fixed.windows, fixed.crop, fixed.stride):
        changes.append(chosen.windows_text.partition(", ")[0])
    if (chosen.resize, chosen.base_size) != (fixed.resize, fixed.base_size):
        resized = chosen.resize or chosen.base_size
        changes.append(chosen.size_text if resized else "pictures at their own size")
    if chosen.blend != fixed.blend:
        changes.append(f"blend {chosen.blend}")
    if chosen.flip != fixed.flip:
        changes.append("with flip" if chosen.flip else "without flip")
    return changes
