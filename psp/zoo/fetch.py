"""Downloads: the only place where psp gets a file from the network.

A file arrives complete and with the expected checksum, or there is an error and no file.
"""

import contextlib
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from psp.errors import PspError
from psp.files import file_sha256, read_bytes, write, writing
from psp.version import __version__

OFFLINE = "PSP_OFFLINE"  # in the environment: nothing is downloaded
CHUNK = 1 << 20  # bytes per read
LONGEST_PIN = 1 << 16  # bytes of a NAME.sha256
TIMEOUT = 30  # seconds without an answer from the server


class DownloadError(PspError):
    """A file cannot be downloaded, or is not the expected one."""


def is_offline() -> bool:
    """Whether the user forbids downloads: PSP_OFFLINE is set, and is not 0."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no")


def fetch_file(
    address: str,
    path: Path,
    sha256: str = "",
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Make sure that `path` is the file at `address`; download it if there is none.

    `sha256` has as many digits of the checksum as are published; `digits_in_name` knows some. If
    none are, the checksum of the first download, or of a file that is there already, is written
    into NAME.sha256 beside it (as `sha256sum` does) and compared from then on. `report` gets a
    sentence about a download and about a new NAME.sha256.

    The file appears whole or not at all, even if several processes call this at once. Raises
    DownloadError if it cannot be had, PspError if the file at `path` is another one or cannot be
    written.
    """
    pin = path.with_name(f"{path.name}.sha256")
    expected = sha256 or _pinned(pin)
    remedy = (
        "Remove it, and it is fetched again" if sha256 else f"Remove it and {pin.name} to retry"
    )
    if path.is_file():
        digest = file_sha256(path)
        if not digest.startswith(expected):
            raise PspError(
                f"{path}: not the file of {address}: {_mismatch(digest, expected)}. {remedy}"
            )
    else:
        if not is_offline():
            report(f"fetching {address}")
        with writing(path, f".{os.getpid()}") as temporary:
            digest = download(address, temporary)
            if not digest.startswith(expected):
                source = "" if sha256 else f" that {pin} has from the first download"
                raise DownloadError(
                    f"{address}: not the expected file: {_mismatch(digest, expected)}{source}."
                )
    if not expected:
        try:
            write(pin, f"{digest}  {path.name}\n".encode())
        except PspError as error:  # such as a cache that others may only read
            report(f"no checksum is published for {path.name}, and none can be kept: {error}")
        else:
            report(
                f"no checksum is published for {path.name}; from now on it must be that in {pin}"
            )


def download(
    address: str,
    path: Path,
    sha256: str = "",
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> str:
    """Write the file at `address` to `path` and return its SHA-256, which must begin with `sha256`.

    `report` gets the bytes so far and their total, None if the server does not say it. Raises
    DownloadError, and PspError if the disk is full; then the file at `path` is incomplete. Nothing
    is asked for where the user forbids it.
    """
    if is_offline():
        raise DownloadError(f"{address} is not fetched, because {OFFLINE} is set.")
    hasher = hashlib.sha256()
    done = 0
    try:
        request = urllib.request.Request(address, headers={"User-Agent": f"psp/{__version__}"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            report(0, total)
            with _disk_errors(path):
                file = path.open("wb")
            with file:
                while chunk := response.read(CHUNK):
                    with _disk_errors(path):
                        file.write(chunk)
                        file.flush()  # here, where an error is certainly the disk's
                    hasher.update(chunk)
                    done += len(chunk)
                    report(done, total)
    except urllib.error.HTTPError as error:
        raise _not_fetched(address, f"{error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _not_fetched(address, _reason(error)) from None
    if total is not None and done < total:
        raise _not_fetched(address, f"it broke off after {done:,} of {total:,} bytes")
    digest = hasher.hexdigest()
    if not digest.startswith(sha256):
        raise DownloadError(f"{address}: not the published file: {_mismatch(digest, sha256)}.")
    return digest


def digits_in_name(address: str) -> str:
    """Return the first digits of the SHA-256 in a file's name, as in resnet50-0676ba61.pth.

    torchvision and mmsegmentation name their files so. "" if there are none.
    """
    match = re.search(r"-([0-9a-f]{8,64})\.\w+$", address)
    return match[1] if match else ""


def torch_hub_path(name: str) -> Path:
    """Return where torch.hub, and so torchvision, keeps a downloaded file of that name."""
    import torch  # takes a second, and published weights are fetched without it

    return Path(torch.hub.get_dir()) / "checkpoints" / name


def _pinned(pin: Path) -> str:
    """Return the checksum in a NAME.sha256 file, or "" if there is no such file."""
    if not os.path.lexists(pin):
        return ""
    text = read_bytes(pin, LONGEST_PIN).decode(errors="replace")
    match = re.match(r"[0-9a-f]{64}\b", text)
    if not match:
        raise PspError(f"{pin}: damaged: it does not begin with a SHA-256. Remove it")
    return match[0]


def _mismatch(digest: str, expected: str) -> str:
    digits = min(len(expected), 16)
    return f"its SHA-256 begins with {digest[:digits]}, not {expected[:digits]}"


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a PspError, so it is not taken for one of the network."""
    try:
        yield
    except OSError as error:
        raise PspError(f"{path}: cannot be written: {error.strerror or error}.") from error


def _not_fetched(address: str, reason: str) -> DownloadError:
    return DownloadError(f"{address} could not be fetched ({reason}).")


def _reason(error: Exception) -> str:
    """Return what went wrong with a connection, in one line."""
    inner = getattr(error, "reason", error)
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return str(text).splitlines()[0].rstrip(".")
