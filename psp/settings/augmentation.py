"""Settings of the training crops."""

from dataclasses import dataclass
from typing import Annotated

from psp.errors import PspError
from psp.settings.section import Section, Setting


@dataclass(frozen=True, kw_only=True)
class Augmentation(Section):
    """Ranges of the random choices that make a training crop (`psp.data.augment` draws them)."""

    crop: Annotated[
        int,
        Setting(
            "side of the training crop and of the test window; 8n+1",
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop % 8 != 1:
            raise PspError(
                f"crop={self.crop}: a crop must be 8n+1; 48k-7 also divides by all pyramid bins. "
                f"Nearest: {' or '.join(map(str, nearest_crops(self.crop)))}."
            )
        if self.scale_min > self.scale_max:
            raise PspError(f"scale_min={self.scale_min} is larger than scale_max={self.scale_max}.")


def nearest_crops(size: int) -> tuple[int, int]:
    """Return the two crops of the form 48k-7 (k >= 1) on either side of `size`, the nearer first.

    Such a crop gives a feature map whose side divides by 6, and so by all of the bins 1, 2, 3, 6.
    """
    below = max(1, (size + 7) // 48)
    pair = (48 * below - 7, 48 * (below + 1) - 7)
    return pair if size - pair[0] <= pair[1] - size else (pair[1], pair[0])
