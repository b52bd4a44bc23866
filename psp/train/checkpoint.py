"""Training state on disk: {step}.pt files that hold tensors and plain types only.

Written atomically. The two newest are kept: where one is damaged, the one before is used.
"""

import io
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from psp.errors import PspError
from psp.files import atomic_write, make_folder
from psp.headers import is_whole, shown
from psp.runs import checkpoint_files
from psp.zoo.pickles import check_pickles, check_tensors

KEPT = 2
# What torch raises for a file that is none of its own, or was changed.
DAMAGED = (
    zipfile.BadZipFile,
    OSError,
    RuntimeError,
    EOFError,
    UnpicklingError,
    PspError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)
VERSION = 1  # of what a checkpoint holds; those of psp 0.1.0 do not name one


class _NewerCheckpointError(PspError):
    """A newer psp wrote a checkpoint: no older one must be taken instead."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write folder/{step}.pt, then remove all but the newest two, and any of a later step.

    A later one can only be a damaged file that was skipped when the run was resumed.
    """
    make_folder(folder)
    path = folder / f"{step:08d}.pt"
    buffer = io.BytesIO()  # torch's own writer reports a full disk in its own way
    torch.save({"version": VERSION, "step": step, **state}, buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    known = checkpoint_files(folder)
    place = known.index(path)
    for other in known[:place] + known[place + KEPT :]:
        other.unlink()


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the newest intact state, on the CPU, and a remark on each damaged file before it.

    Nothing in a file is executed. Raises PspError when there is none to continue from, or a newer
    psp wrote it.
    """
    remarks: list[str] = []
    for path in checkpoint_files(folder):
        try:
            check_pickles(path)
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch.load itself does not check every checksum
            if damaged is None:
                state = torch.load(path, map_location="cpu", weights_only=True)
                if isinstance(state, dict) and is_whole(state.get("step")):
                    _check_version(state, path)
                    for part in ("network", "average"):
                        check_tensors(state.get(part) or {}, path)
                    return state, remarks
                damaged = "it is no training state"
            remarks.append(f"{path} is damaged ({damaged}).")
        except _NewerCheckpointError:
            raise
        except DAMAGED as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            remarks.append(f"{path} is damaged ({reason}).")
    reason = " ".join(remarks) or "there is none."
    raise PspError(
        f"{folder}: no checkpoint to resume from: {reason} Remove the run, and train anew"
    )


def _check_version(state: dict[str, Any], path: Path) -> None:
    version = state.get("version", VERSION)
    if not is_whole(version, 1, VERSION):
        raise _NewerCheckpointError(
            f"{path}: a checkpoint of version {shown(version)}, this psp reads up to {VERSION}: "
            "written by a newer psp? Upgrade psp."
        )
