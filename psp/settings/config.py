"""The settings of a training run, in sections; recipes, `--set` and config.json name them flatly.

Each part of psp is handed its own section. Numbers come from the paper (Zhao et al., CVPR 2017,
section 5.1) unless a setting's help says otherwise.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from psp.errors import PspError
from psp.settings.augmentation import Augmentation, nearest_crops
from psp.settings.data import DataSettings
from psp.settings.loss import LossSettings
from psp.settings.network import NetworkSettings
from psp.settings.optimizer import OptimizerSettings
from psp.settings.run import RunSettings
from psp.settings.section import Section, Setting
from psp.settings.start import StartSettings


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of a run. No two sections have a setting of the same name."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    start: StartSettings = field(default_factory=StartSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)
    data: DataSettings = field(default_factory=DataSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        crop = self.augmentation.crop
        for side in self.augmentation.size:
            if self.network.align_corners and side % 8 != 1:
                of = f" to {side}" if isinstance(crop, str) else ""
                raise PspError(
                    f"crop={crop}: a crop must be 8n+1; 48k-7 also divides by all pyramid bins. "
                    f"Nearest{of}: {' or '.join(map(str, nearest_crops(side)))}."
                )

    def flat(self) -> dict[str, Any]:
        """Return every setting by its name alone."""
        return {name: value for part in asdict(self).values() for name, value in part.items()}

    def changed(self, **settings: Any) -> "TrainConfig":
        """Return the same settings but for these. Raises PspError for a value out of range."""
        return train_config(**{**self.flat(), **settings})

    @property
    def eval_interval(self) -> int:
        """Steps between validations, with `auto` resolved."""
        return self.run.eval_every or max(1, self.optimizer.steps // 10)

    @property
    def save_interval(self) -> int:
        """Steps between checkpoints, with `auto` resolved."""
        return self.run.save_every or max(1, min(500, self.optimizer.steps // 10))

    @property
    def log_interval(self) -> int:
        """Steps between log lines, with `auto` resolved."""
        return self.run.log_every or max(1, min(50, self.optimizer.steps // 20))


# By the name of TrainConfig's field, in the order in which settings are listed everywhere.
SECTIONS: dict[str, type[Section]] = {
    item.name: item.default_factory  # type: ignore[misc]  # the sections' own types
    for item in fields(TrainConfig)
}
# Every setting by name: its type, and what else is known of it.
SETTINGS: dict[str, tuple[Any, Setting]] = {
    name: declared for section in SECTIONS.values() for name, declared in section.declared.items()
}


def train_config(**settings: Any) -> TrainConfig:
    """Return the settings of a run from their flat names; what is not named has its default.

    Raises PspError for a value out of its range, TypeError for an unknown name.
    """
    parts: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        own: Mapping[str, Any] = {
            key: settings.pop(key) for key in section.declared if key in settings
        }
        parts[name] = section(**own)
    if settings:
        raise TypeError(f"no such settings: {', '.join(settings)}")
    return TrainConfig(**parts)
