"""Published weights by name: downloaded and converted at their first use, then kept in a cache.

The work is done in a temporary folder inside the cache folder, and the finished file is put in
place by one rename. So an interruption leaves no incomplete weights, and two processes that do this
at the same time both end with the same file.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.events import Notice, Progress, Report, ignore
from psp.files import file_sha256, sync, writing
from psp.zoo.catalog import Entry, Remote
from psp.zoo.fetch import OFFLINE, DownloadError, download, is_offline

_TEMPORARY = re.compile(r"\.[a-z0-9-]+-[a-z0-9_]{8}")  # as mkdtemp names them
ABANDONED = 24 * 3600  # seconds after which the temporary folder of a killed process is removed


def obtain(entry: Entry, report: Report = ignore) -> Path:
    """Return the weights file of an entry; download and convert it if it is not there yet.

    `report` gets source and terms first, then the bytes of each file, then what was recognized.
    Raises PspError, whose message says how to provide the files by other means.
    """
    if entry.path.is_file():
        return entry.path
    if is_offline() and (missing := _not_provided(entry)):
        raise PspError(
            f"{entry.name}: not there, and {OFFLINE} forbids to fetch it. Where there is a "
            f"network: psp models fetch {entry.name} --to DIR; bring DIR here and set "
            f"PSP_CACHE=DIR, or name the file in it in place of {entry.name}. Or put "
            f"{' and '.join(missing)} into {entry.manual_folder}"
        )
    for text in _source(entry):
        report(Notice(text))
    with _temporary_folder(entry) as folder:
        try:
            files = [_fetch(file, entry, folder, report) for file in entry.files]
        except DownloadError as error:
            with contextlib.suppress(
                OSError
            ):  # not needed, but the message says to put files there
                entry.manual_folder.mkdir(parents=True, exist_ok=True)
            raise PspError(f"{entry.name}: {error} {_manual_download(entry)}") from None
        except PspError as error:
            raise _cache_error(error, entry) from None
        converted = folder / entry.path.name
        what, remarks = _import(entry, files[0], converted)
        converted.replace(entry.path)
        sync(entry.path.parent)
    for text in (f"{entry.name}: {what}", *remarks, f"kept: {entry.path}"):
        report(Notice(text))
    return entry.path


def obtain_into(entry: Entry, folder: Path, report: Report = ignore) -> Path:
    """Return the weights file of an entry inside of `folder`, which is laid out as the cache is.

    It is copied from the cache if it is there, else downloaded and converted, into `folder` alone.
    Raises PspError as `obtain`.
    """
    there = replace(entry, folder=folder.absolute())
    if entry.path.is_file() and not there.path.is_file():
        with writing(there.path, f".{os.getpid()}") as temporary:
            shutil.copyfile(entry.path, temporary)
    obtain(there, report)
    return folder / there.path.relative_to(folder.absolute())


def _not_provided(entry: Entry) -> list[str]:
    """Return the addresses of the files that nobody put into the entry's manual folder."""
    return [f.address for f in entry.files if not (entry.manual_folder / f.name).is_file()]


def _source(entry: Entry) -> Iterator[str]:
    """Yield where published weights come from and under which terms, before they are fetched."""
    yield f"{entry.name}: published by {entry.publisher.title}, {entry.publisher.page}"
    yield f"terms: {entry.terms}"
    for file in entry.files:
        note = "" if file.sha256 else " (no checksum is published)"
        yield f"from {file.address}{note}"


def _fetch(file: Remote, entry: Entry, folder: Path, report: Report) -> Path:
    """Put a file into `folder`: the one in the entry's manual folder, else download it."""
    path, provided = folder / file.name, entry.manual_folder / file.name
    if not provided.is_file():
        _download(file, path, report)
        return path
    if not file_sha256(provided).startswith(file.sha256):
        raise PspError(
            f"{provided}: not the file at {file.address}: its SHA-256 does not begin with "
            f"{file.sha256}. Remove it, or download it again"
        )
    path.symlink_to(provided)
    return path


def _download(file: Remote, path: Path, report: Report) -> None:
    """Download a file from the first of its addresses that has it; say why another is asked.

    Raises DownloadError with what was wrong at each of them.
    """
    failures: list[str] = []
    for address in file.addresses:
        if failures:
            report(Notice(f"{failures[-1]} Asking {address}"))
        try:
            download(address, path, file.sha256, lambda done, n: report(Progress(done, n, "bytes")))
        except DownloadError as error:
            failures.append(str(error))
        else:
            return
    raise DownloadError(" ".join(failures))


def _import(entry: Entry, source: Path, out: Path) -> tuple[str, tuple[str, ...]]:
    """Convert a network; return what it was recognized as, and remarks.

    Raises PspError if it is not the network that `entry` describes.
    """
    # Imported here because it loads torch, which weights that are in the cache do not need.
    from psp.zoo.import_weights import PictureSizes, import_weights

    addresses = ", ".join(file.address for file in entry.files)
    origin = f"published as {addresses} by {entry.publisher.title}; terms: {entry.publisher.terms}"
    sizes = PictureSizes(entry.crop, entry.base_size, entry.procedure)
    try:
        network = import_weights(
            source,
            out,
            find_card(entry.card),
            sizes=sizes,
            origin=origin,
            by_raw_values=entry.class_order == "raw values",
        )
        spec = network.architecture
        if (network.kind, spec.backbone) != (entry.publisher.kind, entry.backbone):
            raise PspError(f"{network.what}, not the {entry.backbone} of {entry.publisher.kind}.")
        if spec.stem != entry.stem:
            raise PspError(f"{network.what}, with the {spec.stem} stem, not the {entry.stem} one.")
        if spec.align_corners != entry.align_corners:
            raise PspError(f"{network.what}, with align_corners {spec.align_corners}.")
    except PspError as error:
        if isinstance(error.__cause__, OSError):
            raise _cache_error(error, entry) from None
        reason = str(error).replace(f"{source.parent}/", "")
        raise PspError(
            f"{entry.name}: the download from {addresses} cannot be used: {reason.rstrip('.')}. "
            f"{_manual_download(entry)}"
        ) from None
    return network.what, network.remarks


def _manual_download(entry: Entry) -> str:
    """Return a sentence on how to get the weights by another way than psp's download."""
    names = " and ".join(file.name for file in entry.files)
    pages = dict.fromkeys(
        address.removesuffix(file.name) for file in entry.files for address in file.addresses
    )
    return (
        f"Put {names} from {' or '.join(pages)} into {entry.manual_folder} by other means, and "
        "run the same command again"
    )


@contextlib.contextmanager
def _temporary_folder(entry: Entry) -> Iterator[Path]:
    """Yield a new folder inside the cache folder; it is removed with everything in it."""
    cache = entry.path.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(".*"):
            if not _TEMPORARY.fullmatch(old.name):
                continue  # someone else's
            with contextlib.suppress(FileNotFoundError):  # another process may remove it too
                if old.stat().st_mtime < time.time() - ABANDONED:
                    shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=cache))
    except OSError as error:
        raise _not_writable(entry, error) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cache_error(error: PspError, entry: Entry) -> PspError:
    """Return an error of the disk as one of the cache folder: the temporary folder is gone."""
    if isinstance(error.__cause__, OSError):
        return _not_writable(entry, error.__cause__)
    return error


def _not_writable(entry: Entry, error: OSError) -> PspError:
    remedy = "Set PSP_CACHE to another folder" if entry.folder is None else "Name another: --to DIR"
    if error.errno == errno.ENOSPC:
        remedy = f"Free some space, or {remedy[0].lower()}{remedy[1:]}"
    return PspError(
        f"{entry.path.parent}: weights cannot be written there: {error.strerror or error}. {remedy}"
    )
