"""A run's folder: what training leaves behind.

runs/NAME/  config.json  metrics.jsonl  log.txt  checkpoints/{step}.pt
            best.safetensors  last.safetensors  evaluations/{split}-{procedure}.json
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.errors import PspError
from psp.settings.config import TrainConfig
from psp.settings.sources import settings_from

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """The paths of a run folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """Settings, the data's folder, the command, versions and device."""
        return self.folder / "config.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: every logged step and validation."""
        return self.folder / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """The same for people."""
        return self.folder / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """Training states to resume from."""
        return self.folder / "checkpoints"

    @property
    def board(self) -> Path:
        """TensorBoard's event files, where a run writes them."""
        return self.folder / "tensorboard"

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.folder / "lock"

    @property
    def evaluations(self) -> Path:
        """What `psp evaluate` found."""
        return self.folder / "evaluations"

    def weights(self, which: str) -> Path:
        """The weights `best` (highest validation mIoU) or `last`."""
        return self.folder / f"{which}.safetensors"

    @property
    def resumable(self) -> bool:
        """Whether it has a checkpoint."""
        return any(self.checkpoints.glob("*.pt"))

    def of_launch(self, name: str | None) -> bool:
        """Whether the call of torchrun with this name began it."""
        if name is None or not self.config.exists():
            return False
        return self.read_config().get("launch") == name

    def read_config(self) -> dict[str, Any]:
        """Return config.json. Raises PspError when it is missing or damaged."""
        try:
            value: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise PspError(f"{self.folder}: not a run (it has no config.json).") from None
        except (OSError, ValueError) as error:
            raise PspError(f"{self.config}: damaged: {error}") from None
        kinds = {"settings": dict, "data": str, "data_fingerprint": str}
        for key, kind in kinds.items():
            if not isinstance(value, dict) or not isinstance(value.get(key), kind):
                raise PspError(f"{self.config}: damaged: '{key}' is missing in it.")
        return value

    def training_config(self) -> TrainConfig:
        """Return the settings it is trained with. Raises PspError as `read_config` does."""
        return TrainConfig(**settings_from(self.read_config()["settings"], str(self.config)))

    def last_validation(self) -> dict[str, Any]:
        """Return the newest validation in metrics.jsonl, or {} before the first."""
        lines = self.metrics.read_text(encoding="utf-8").splitlines()
        found = [record for record in map(json.loads, lines) if record["event"] == "validation"]
        return found[-1] if found else {}


@dataclass(frozen=True)
class Model:
    """A model as the user named it: its weights file, and the run it lies in, if any."""

    path: Path
    run: Run | None
    which: str  # "best", "last", the file's name, or that of published weights


def model_at(path: Path, which: str | None = None) -> Model:
    """Return the model at a path: a run's folder or a weights file.

    `which` is one of a run's weights, best if None. Raises PspError that names the way out.
    """
    if path.is_file():
        if which is not None:
            raise PspError(f"{path}: --weights {which} chooses among a run's; this is one file.")
        return Model(path, None, path.name)
    which = which or "best"
    run = Run(path)
    run.read_config()
    weights = run.weights(which)
    if not weights.exists():
        way = "It has no checkpoint to go on from either: remove it, and train anew"
        if run.resumable:
            data = run.read_config().get("data", "SHARDS")
            way = f"Go on with: psp train {data} -o {path} --resume"
        raise PspError(
            f"{weights}: this run has no such weights yet; they are written at its first "
            f"validation. {way}"
        )
    return Model(weights, run, which)


def beside(path: Path) -> list[str]:
    """Return the names of the runs in a path's folder."""
    return [run.folder.name for run in _runs(path.parent)]


def newest_run() -> Path:
    """Return the run under runs/ whose weights are the newest. Raises PspError if there is none."""
    trained = [run for run in _runs(RUNS) if run.weights("last").exists()]
    if not trained:
        raise PspError(
            f"no trained run under {RUNS}/ here. Name one with -m MODEL, or train: psp train SHARDS"
        )
    return max(trained, key=lambda run: run.weights("last").stat().st_mtime_ns).folder


def newest_named(default: Path) -> Path:
    """Return the newest run called `default`, `default-2`, …: what --resume goes on with."""
    found = _named(default)
    if not found:
        raise PspError(f"{default}: no such run to resume. Name it with -o, or leave out --resume")
    return max(found, key=lambda run: run.config.stat().st_mtime_ns).folder


def begun_by(default: Path, launch: str | None) -> Run | None:
    """Return the run called `default`, `default-2`, … that this call of torchrun began, if any."""
    found = [run for run in _named(default) if run.of_launch(launch)]
    return found[0] if found else None


def _named(default: Path) -> list[Run]:
    pattern = re.compile(re.escape(default.name) + r"(-\d+)?")
    return [run for run in _runs(default.parent) if pattern.fullmatch(run.folder.name)]


def _runs(folder: Path) -> list[Run]:
    return [Run(path.parent) for path in sorted(folder.glob("*/config.json"))]
