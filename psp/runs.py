"""The folder of a training run.

runs/NAME/  config.json  metrics.jsonl  log.txt  checkpoints/{step}.pt
            best.safetensors  last.safetensors  evaluations/{split}-{procedure}.json
            report.html  samples/{step}.jpg  curves.png  confusion.png  per_class.png
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.errors import PspError
from psp.files import read_bytes
from psp.headers import Fields, parse, read_header
from psp.names import named
from psp.settings.config import TrainConfig, train_config
from psp.settings.sources import settings_from

RUNS = Path("runs")  # where psp train puts runs by itself
CONFIG = "config.json"  # the file that makes a folder a run
# What a training draws: pictures of its own, not of anybody's.
DRAWN = frozenset({"samples", "curves.png", "confusion.png", "per_class.png"})
REPORT = "report.html"  # of a run's evaluations, training and settings


@dataclass(frozen=True)
class Run:
    """The paths of a run folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """The settings, the shards' folder, the command, versions and device."""
        return self.folder / CONFIG

    @property
    def metrics(self) -> Path:
        """One JSON object per line for every logged step and validation."""
        return self.folder / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """The same as text."""
        return self.folder / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """Training states to resume from."""
        return self.folder / "checkpoints"

    @property
    def samples(self) -> Path:
        """Pictures of the first crops, and of predictions at each validation."""
        return self.folder / "samples"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files, if the run writes them."""
        return self.folder / "tensorboard"

    @property
    def lock(self) -> Path:
        """The lock file of the process that trains."""
        return self.folder / "lock"

    @property
    def evaluations(self) -> Path:
        """Results of `psp evaluate`."""
        return self.folder / "evaluations"

    @property
    def report(self) -> Path:
        """What psp evaluate and psp report show of the run."""
        return self.folder / REPORT

    @property
    def is_sound(self) -> bool:
        """Whether config.json is psp's: other programs' folders have such a file too."""
        try:
            self.read_config()
        except PspError:
            return False
        return True

    def weights(self, which: str) -> Path:
        """The weights file `best` (highest validation mIoU) or `last`."""
        return self.folder / f"{which}.safetensors"

    @property
    def resumable(self) -> bool:
        """Whether it has a checkpoint."""
        return bool(checkpoint_files(self.checkpoints))

    def of_launch(self, name: str | None) -> bool:
        """Whether the call of torchrun with this name started the run."""
        if name is None or not self.config.exists():
            return False
        return self.read_config().get("launch") == name

    def read_config(self) -> dict[str, Any]:
        """Return config.json. Raises PspError when it is missing or damaged."""
        if not os.path.lexists(self.config):
            there = "not a run (it has no" if self.folder.exists() else "no such run (there is no"
            raise PspError(f"{self.folder}: {there} config.json). The runs that are here: psp runs")
        value = read_header(self.config)
        value.object("settings")
        value.text("data")
        value.text("data_fingerprint")
        value.text("launch", None)
        value.text("precision", "")
        value.whole("ranks", 1, default=1)
        value.whole("threads", 1, default=1)
        return value.value

    def training_config(self) -> TrainConfig:
        """Return the settings of the run.

        Raises PspError as `read_config` does, and for a setting that only a newer psp has.
        """
        settings = settings_from(self.read_config()["settings"], str(self.config), stored=True)
        try:
            return train_config(**settings)
        except PspError as error:  # of a value out of its range
            raise PspError(f"{self.config}: {error}") from None

    def last_validation(self) -> dict[str, Any]:
        """Return the newest validation in metrics.jsonl, or {} before the first."""
        last: dict[str, Any] = {}
        lines = read_bytes(self.metrics).splitlines() if self.metrics.exists() else []
        for number, line in enumerate(lines, start=1):
            where = f"{self.metrics}: line {number}"
            record = Fields(parse(line, where, strict=False), where)
            if record.text("event") == "validation":
                last = record.value
        return last


@dataclass(frozen=True)
class Model:
    """A model as the user named it: its weights file, and its run, if it is in one."""

    path: Path
    run: Run | None
    which: str  # "best", "last", the file's name, or the name of published weights


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest first; other files, such as copies, are the
    user's."""
    paths = (path for path in folder.glob("*.pt") if re.fullmatch(r"\d{8}", path.stem))
    return sorted(paths, reverse=True)


def model_at(path: Path, which: str | None = None) -> Model:
    """Return the model at a path: a run's folder or a weights file.

    `which` chooses one of a run's weights, the best if None. Raises PspError if there are none.
    """
    if path.is_file():
        if which is not None:
            raise PspError(f"{path}: --weights {which} is for the folder of a run; this is a file.")
        return Model(path, None, path.name)
    which = which or "best"
    run = Run(path)
    run.read_config()
    weights = run.weights(which)
    if not weights.exists():
        raise PspError(
            f"{weights}: not there yet: a run's weights are written at its first validation. "
            f"Continue with: psp train {run.read_config()['data']} -o {path} --resume"
        )
    return Model(weights, run, which)


def sibling_runs(path: Path) -> list[str]:
    """Return the names of the runs in the folder that `path` is in."""
    return [run.folder.name for run in _runs_in(path.parent)]


def run_folder(name: str | Path) -> Path:
    """Return the path that the name of a run means: what is there, else runs/NAME."""
    return named(name, RUNS, CONFIG)


def newest_named(default: Path) -> Path:
    """Return the newest of the runs `default`, `default-2`, …: the one that --resume continues."""
    runs = _runs_named(default)
    if not runs:
        raise PspError(f"{default}: no such run to resume. Name it with -o, or leave out --resume")
    return max(runs, key=lambda run: run.config.stat().st_mtime_ns).folder


def run_of_launch(default: Path, launch: str | None) -> Run | None:
    """Return the run `default`, `default-2`, … that this call of torchrun started, if any."""
    return next((run for run in _runs_named(default) if run.of_launch(launch)), None)


def _runs_named(default: Path) -> list[Run]:
    pattern = re.compile(re.escape(default.name) + r"(-\d+)?")
    return [run for run in _runs_in(default.parent) if pattern.fullmatch(run.folder.name)]


def _runs_in(folder: Path) -> list[Run]:
    return [Run(path.parent) for path in sorted(folder.glob("*/config.json"))]
