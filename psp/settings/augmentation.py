"""Settings of the training crops."""

from dataclasses import dataclass
from typing import Annotated

from psp.errors import PspError
from psp.settings.resize import Target, parse_resize
from psp.settings.section import Section, Setting
from psp.settings.size import Sides, Size, size_of


@dataclass(frozen=True, kw_only=True)
class Augmentation(Section):
    """Ranges of the random choices that make a training crop (`psp.data.augment` draws them)."""

    crop: Annotated[
        Sides,
        Setting(
            "side of the training crop and of the test window, or WIDTHxHEIGHT; 8n+1 with "
            "align_corners",
            low=9,
            high=4097,
            source="Caffe release",
        ),
    ] = 473
    scale_min: Annotated[
        float, Setting("smallest random scale", low=0.05, source="paper, section 5.1")
    ] = 0.5
    scale_max: Annotated[
        float, Setting("largest random scale", high=20, source="paper, section 5.1")
    ] = 2.0
    rotate: Annotated[
        float,
        Setting(
            "largest random rotation, degrees to either side",
            low=0,
            high=180,
            source="paper, section 5.1",
        ),
    ] = 10.0
    rotate_probability: Annotated[
        float,
        Setting("share of crops that are rotated (semseg's)", low=0, high=1, source="semseg"),
    ] = 0.5
    blur: Annotated[
        float,
        Setting(
            "share of crops that get a 5x5 Gaussian blur (semseg's)",
            low=0,
            high=1,
            source="paper, section 5.1; the share is semseg's",
        ),
    ] = 0.5
    flip: Annotated[
        float,
        Setting("share of crops that are mirrored", low=0, high=1, source="paper, section 5.1"),
    ] = 0.5
    brightness: Annotated[
        float,
        Setting("half of the crops: largest change, of 255 (mmsegmentation: 32)", low=0, high=255),
    ] = 0.0
    contrast: Annotated[
        float,
        Setting("half of the crops: largest change of the factor 1 (0.5)", low=0, high=1),
    ] = 0.0
    saturation: Annotated[
        float,
        Setting("half of the crops: largest change of the factor 1 (0.5)", low=0, high=1),
    ] = 0.0
    hue: Annotated[
        int,
        Setting("half of the crops: largest turn, of 180, two degrees each (18)", low=0, high=90),
    ] = 0
    class_limit: Annotated[
        float,
        Setting(
            "other places are tried, ten at most, until no class has so large a share of a crop's "
            "labels (mmsegmentation: 0.75); 1: any",
            low=0,
            high=1,
        ),
    ] = 1.0
    train_resize: Annotated[
        str,
        Setting(
            "size of pictures before the random scale: own, long:N, short:N, or WIDTHxHEIGHT to "
            "fit inside, turned as the picture is"
        ),
    ] = "own"
    placed: Annotated[
        str,
        Setting(
            "a picture smaller than the crop lies in its center, or corner: at its top left",
            ("center", "corner"),
        ),
    ] = "center"
    outside: Annotated[
        str,
        Setting(
            "what the crop has outside of the picture: mean, the color that becomes 0, or black",
            ("mean", "black"),
        ),
    ] = "mean"

    class_crops: Annotated[
        float,
        Setting(
            "share of crops that are laid on a pixel of a class drawn evenly from all classes; "
            "0: off",
            low=0,
            high=1,
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.declared["crop"][1].check("crop", self.size)
        if self.scale_min > self.scale_max:
            raise PspError(f"scale_min={self.scale_min} is larger than scale_max={self.scale_max}.")
        _ = self.resized  # raises if there is no such size

    @property
    def resized(self) -> Target:
        """The sides that pictures are brought to before the random scale."""
        if self.train_resize == "own":
            return Target()
        return parse_resize(self.train_resize, "train_resize")

    @property
    def size(self) -> Size:
        """The crop's width and height."""
        return size_of(self.crop)


def nearest_crops(size: int) -> tuple[int, int]:
    """Return the two crops of the form 48k-7 (k >= 1) on either side of `size`, the nearer first.

    Such a crop gives a feature map whose side divides by 6, and so by all of the bins 1, 2, 3, 6.
    """
    below = max(1, (size + 7) // 48)
    pair = (48 * below - 7, 48 * (below + 1) - 7)
    return pair if size - pair[0] <= pair[1] - size else (pair[1], pair[0])
