"""Published weights by name: fetched, imported and kept at their first use.

Everything happens in a folder of its own beside the place where the weights will be, and they are
put there by one rename: whatever ends it before leaves nothing that counts, and of two processes at
once each makes the same file.
"""

import contextlib
import errno
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.files import file_sha256, sync
from psp.zoo.catalog import Entry, Remote
from psp.zoo.fetch import DownloadError, download

ABANDONED = 24 * 3600  # seconds after which a folder of a process that was killed is removed


@dataclass(frozen=True)
class FirstUse:
    """Weights that are not here yet: terms and source are to be shown now."""

    entry: Entry


@dataclass(frozen=True)
class Fetching:
    """Bytes of a file that have come, and their total, if the server says it."""

    file: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Kept:
    """The weights are at `entry.path` from now on; what they were recognized as."""

    entry: Entry
    what: str
    remarks: tuple[str, ...]


Report = Callable[[FirstUse | Fetching | Kept], None]


def obtain(entry: Entry, report: Report = lambda event: None) -> Path:
    """Return the weights file of an entry; fetch and import it if it is not there yet.

    Raises PspError in one line that names the address and the way without a network.
    """
    if entry.path.is_file():
        return entry.path
    report(FirstUse(entry))
    with _workshop(entry) as folder:
        try:
            files = [_bring(file, entry, folder, report) for file in entry.files]
        except DownloadError as error:
            with contextlib.suppress(OSError):  # a courtesy: the message says what to put there
                entry.by_hand.mkdir(parents=True, exist_ok=True)
            raise PspError(f"{entry.name}: {error} {_by_hand(entry)}") from None
        except PspError as error:
            raise _told(error, entry) from None
        made = folder / entry.path.name
        what, remarks = _import(entry, files[0], made)
        made.replace(entry.path)
        sync(entry.path.parent)
    report(Kept(entry, what, remarks))
    return entry.path


def _bring(file: Remote, entry: Entry, folder: Path, report: Report) -> Path:
    """Put a file into `folder`: one that was brought by hand, else from the net."""
    path, brought = folder / file.name, entry.by_hand / file.name
    if not brought.is_file():
        download(
            file.address,
            path,
            file.sha256,
            lambda done, total: report(Fetching(file.name, done, total)),
        )
        return path
    if not file_sha256(brought).startswith(file.sha256):
        raise PspError(
            f"{brought}: not the file that {file.address} is: its SHA-256 does not begin with "
            f"{file.sha256}. Remove it, or bring the whole file"
        )
    path.symlink_to(brought)
    return path


def _import(entry: Entry, source: Path, out: Path) -> tuple[str, tuple[str, ...]]:
    """Import a network; return what it was recognized as. Raises PspError if it is not `entry`."""
    from psp.zoo.import_weights import (  # brings torch; weights once kept need none here
        PictureSizes,
        import_weights,
    )

    addresses = ", ".join(file.address for file in entry.files)
    origin = f"published as {addresses} by {entry.publisher.title}; terms: {entry.publisher.terms}"
    sizes = PictureSizes(entry.crop, entry.base_size)
    try:
        found = import_weights(source, out, find_card(entry.card), sizes=sizes, origin=origin)
        spec = found.architecture
        if (found.kind, spec.backbone) != (entry.publisher.kind, entry.backbone):
            raise PspError(f"{found.what}, not the {entry.backbone} of {entry.publisher.kind}.")
        if spec.align_corners != entry.align_corners:
            raise PspError(f"{found.what}, with align_corners {spec.align_corners}.")
    except PspError as error:
        if isinstance(error.__cause__, OSError):
            raise _told(error, entry) from None
        reason = str(error).replace(f"{source.parent}/", "")
        raise PspError(
            f"{entry.name}: what came from {addresses} cannot be used: {reason.rstrip('.')}. "
            f"{_by_hand(entry)}"
        ) from None
    return found.what, found.remarks


def _by_hand(entry: Entry) -> str:
    """Say how to go on without a network."""
    names = " and ".join(file.name for file in entry.files)
    pages = dict.fromkeys(file.address.removesuffix(file.name) for file in entry.files)
    return (
        f"Bring {names} from {' and '.join(pages)} by hand into {entry.by_hand} and give the same "
        "command again"
    )


@contextlib.contextmanager
def _workshop(entry: Entry) -> Iterator[Path]:
    """Yield a folder beside the weights' place, and remove it with all that is in it."""
    place = entry.path.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob(".*"):
            with contextlib.suppress(FileNotFoundError):  # another process may clear up too
                if old.stat().st_mtime < time.time() - ABANDONED:
                    shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=place))
    except OSError as error:
        raise _unwritable(place, error) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _told(error: PspError, entry: Entry) -> PspError:
    """Return an error of a file in the workshop, which is gone, as one of where it stood."""
    if isinstance(error.__cause__, OSError):
        return _unwritable(entry.path.parent, error.__cause__)
    return error


def _unwritable(folder: Path, error: OSError) -> PspError:
    room = "Make room, or name" if error.errno == errno.ENOSPC else "Name"
    return PspError(
        f"{folder}: weights cannot be kept there: {error.strerror or error}. {room} another folder "
        "in PSP_CACHE"
    )
