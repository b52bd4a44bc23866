"""How far each run is: read from its files in little time, whatever is in them.

A run whose files cannot be understood is one of the results, "broken", with the reason.
"""

import itertools
import json
import math
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from psp.errors import PspError, printable
from psp.names import listed
from psp.runs import CONFIG, REPORT, RUNS, Run

FINISHED, STOPPED, RUNNING, BROKEN = "finished", "stopped", "running", "broken"
LARGEST_CONFIG = 4 << 20  # bytes
LARGEST_HEADER = 4 << 20  # bytes of the JSON in front of the tensors
LOG_TAIL = 16 << 20  # bytes of metrics.jsonl that are read, from its end
MOST_FILES = 20_000  # that are added up for a run's size
# Beside config.json: a folder that holds one of these was meant to be a run.
TRACES = ("checkpoints", "metrics.jsonl", "best.safetensors", "last.safetensors")


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run at a glance. What is not known is None.

    `best` is the highest validation mIoU, 0..1; `changed` the time of its last change, in seconds
    since 1970; `size` the bytes of its files. `problem` says what is broken, else it is empty.
    """

    folder: str
    state: str
    data: str | None = None
    backbone: str | None = None
    step: int | None = None
    steps: int | None = None
    best: float | None = None
    changed: float | None = None
    size: int | None = None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def run_states(folder: Path) -> list[RunState]:
    """Return the runs in a folder, the last changed first; or the one run that the folder is.

    Raises PspError if there is no such folder, or it cannot be read.
    """
    try:
        if not folder.is_dir():
            raise PspError(f"{folder}: no such folder.")
        if _is_run(folder):
            return [run_state(Run(folder))]
        found = [run_state(Run(path)) for path in sorted(folder.iterdir()) if _is_run(path)]
    except OSError as error:
        raise PspError(f"{folder}: cannot be read: {error.strerror or error}.") from None
    return sorted(found, key=lambda state: -(state.changed or 0))


def run_state(run: Run) -> RunState:
    """Return how far a run is. Nothing in its files makes this fail, or take long."""
    folder = str(run.folder)
    try:
        return _read(run)
    except PspError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename or folder}: {error.strerror or error}"
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        problem = f"{run.config}: damaged: {type(error).__name__}"
    if folder not in problem:  # such as a setting that is out of its range
        problem = f"{run.config}: {problem}"
    return RunState(folder=folder, state=BROKEN, problem=printable(problem))


def newest_finished() -> Path:
    """Return the run under runs/ that finished last. Raises PspError if there is none."""
    states = run_states(RUNS) if RUNS.is_dir() else []
    for state in states:
        if state.state == FINISHED:
            return Path(state.folder)
    others = [f"{state.folder} ({state.state})" for state in states]
    there = f" There are: {listed(others, 3)}." if others else ""
    raise PspError(
        f"no finished run under {RUNS}/ here.{there} Name a model with -m MODEL, or train: "
        "psp train SHARDS"
    )


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run, or was meant to be one."""
    try:
        if not folder.is_dir():
            return False
        return any(os.path.lexists(folder / name) for name in (CONFIG, *TRACES))
    except OSError:
        return False


def _read(run: Run) -> RunState:
    size = run.config.stat().st_size if _is_file(run.config) else 0
    if size > LARGEST_CONFIG:
        raise PspError(f"{run.config}: damaged: {size / 1e6:.0f} MB are no settings.")
    if not _is_file(run.config) and os.path.lexists(run.config):
        raise PspError(f"{run.config}: not a regular file.")
    config, settings = run.read_config(), run.training_config()
    steps = settings.optimizer.steps
    records = list(_records(run.metrics))
    validations = [record for record in records if record.get("event") == "validation"]
    best = [record["miou"] for record in validations]
    weights = _weights_step(run.weights("last"))
    done = [weights or 0, *_checkpoints(run), *(_whole(record.get("step")) for record in records)]
    changed, size = _age_and_size(run.folder)
    finished = weights is not None and (
        weights >= steps or _gave_up(validations, settings.run.patience)
    )
    state = FINISHED if finished else RUNNING if _is_locked(run.lock) else STOPPED
    return RunState(
        folder=str(run.folder),
        state=state,
        data=printable(Path(config["data"]).name),
        backbone=settings.network.backbone,
        step=max(done),
        steps=steps,
        best=max((score for score in map(_finite, best) if score is not None), default=None),
        changed=changed,
        size=size,
    )


def _gave_up(validations: list[dict[str, Any]], patience: int | None) -> bool:
    """Whether a run ended as so many validations in a row brought no better mIoU."""
    last = validations[-patience:] if patience is not None else []
    return len(last) == patience and not any(record.get("best") for record in last)


def _is_file(path: Path) -> bool:
    """Whether a path is a regular file: reading a pipe would never end."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records at the end of metrics.jsonl; lines that are none are left out."""
    if not _is_file(path):
        return
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - LOG_TAIL)
        file.seek(start)
        lines = file.read(LOG_TAIL).split(b"\n")
    for line in lines[1 if start else 0 :]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # half-written, as by a run that was killed
            continue
        if isinstance(record, dict) and record.get("event") in ("step", "validation"):
            yield {"miou": None, **record}


def _whole(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0


def _finite(value: object) -> float | None:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def _checkpoints(run: Run) -> list[int]:
    """Return the steps of the checkpoints, from their names."""
    if not run.checkpoints.is_dir():
        return []
    stems = (path.stem for path in run.checkpoints.glob("*.pt"))
    return [int(stem) for stem in stems if stem.isascii() and stem.isdecimal() and len(stem) < 16]


def _weights_step(path: Path) -> int | None:
    """Return the step that a weights file says it is from, without its tensors; None if it cannot.

    A safetensors file begins with the length of its JSON header; psp's own is a text in that.
    """
    if not _is_file(path):
        return None
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else LARGEST_HEADER + 1
        text = file.read(length) if length <= LARGEST_HEADER else b""
    try:
        return _whole(json.loads(json.loads(text)["__metadata__"]["psp"])["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PspError(f"{path}: damaged: its header is not that of psp weights.") from None


def _age_and_size(folder: Path) -> tuple[float, int]:
    """Return the time of the last change of a run's files, and their bytes together."""
    changed, size = 0.0, 0
    for path in itertools.islice(_files(folder), MOST_FILES):
        try:
            status = path.lstat()
        except OSError:  # removed in between, as old checkpoints are
            continue
        size += status.st_size
        # Evaluating and predicting change nothing of the training.
        if path.parent == folder and path.name != REPORT:
            changed = max(changed, status.st_mtime)
    return changed, size


def _files(folder: Path) -> Iterator[Path]:
    for current, _, names in os.walk(folder):
        yield from (Path(current) / name for name in names)


def _is_locked(path: Path) -> bool:
    """Whether a training holds its lock file. It is asked without leaving a trace."""
    if not _is_file(path):
        return False
    import fcntl  # here, as Windows has none

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks: the file itself is all there is
            return True
        return False
