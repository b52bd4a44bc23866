"""Files of records in a folder of predictions: who may write them, what a line must have."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psp.files import is_free
from psp.headers import LARGEST, DamagedError, Fields, parse
from psp.name_rules import is_below, is_file_name

RECORDS = "predictions.jsonl"
LONGEST_RECORD = 1 << 20  # bytes of a line; what is longer no psp wrote
WAITS = 50  # tenths of a second for shares that merge


def is_begun(out: Path) -> bool:
    """Whether nothing is there but files of records without a record: a call was killed there."""
    if is_free(out):
        return True
    if not out.is_dir():
        return False
    files = [path for path in out.iterdir() if path.name != "predictions"]
    parts = out / "predictions"
    files += parts.iterdir() if parts.is_dir() else []
    return all(
        (path.name == RECORDS or (path.suffix == ".jsonl" and path.parent == parts))
        and path.is_file()
        and path.stat().st_size == 0
        for path in files
    )


@contextlib.contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Keep calls from appending to a file of records, and yield whether none does.

    Other shares merge for a moment; they are waited for.
    """
    if not path.is_file():
        yield True
        return
    with path.open("rb") as file:
        for _ in range(WAITS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.1)
                continue
            except OSError:  # a file system without locks
                pass
            yield True
            return
        yield False


def parse_record(line: bytes) -> dict[str, Any] | None:
    """Return a record, or None for an incomplete line."""
    try:
        record = Fields(parse(line, RECORDS, strict=False), RECORDS)
        record.texts("written", [])
        for place in record.object("packed", {}).value.values():
            _check_place(place)
        record.whole("bytes", -1)
        record.whole("changed", -(LARGEST**2), LARGEST**2)
        complete = is_below(record.text("name")) and bool(record.text("source"))
        return record.value if complete and "made_with" in record else None
    except DamagedError:
        return None


def _check_place(place: Any) -> None:
    """Raise DamagedError if this is not where a file is in a tar: its name, position, bytes."""
    is_place = isinstance(place, list) and list(map(type, place)) == [str, int, int]
    if not (is_place and is_file_name(place[0]) and 512 <= place[1] <= LARGEST and place[2] >= 0):
        raise DamagedError(f"{RECORDS}: not a place in a tar")
