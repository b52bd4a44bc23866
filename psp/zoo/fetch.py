"""A file from the net: whole and as published, or not at all."""

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from psp.errors import PspError
from psp.version import __version__

PIECE = 1 << 20  # bytes that are read at a time
PATIENCE = 30  # seconds without an answer before a server counts as gone


class DownloadError(PspError):
    """What is to be fetched cannot be had, or is not what it should be."""


def download(
    address: str,
    path: Path,
    sha256: str = "",
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Write what lies at `address` to `path`; its SHA-256 must begin with `sha256`.

    `report` gets the bytes so far and their total, None where the server does not say it. Raises
    DownloadError, and PspError where the disk is full; what is then at `path` is no whole file.
    """
    digest = hashlib.sha256()
    done = 0
    try:
        request = urllib.request.Request(address, headers={"User-Agent": f"psp/{__version__}"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            length = answer.headers.get("Content-Length")
            total = int(length) if length else None
            report(0, total)
            with _disk(path):
                file = path.open("wb")
            with file:
                while piece := answer.read(PIECE):
                    with _disk(path):
                        file.write(piece)
                        file.flush()  # here, where an error is known to be the disk's
                    digest.update(piece)
                    done += len(piece)
                    report(done, total)
    except urllib.error.HTTPError as error:
        raise _not_fetched(address, f"{error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _not_fetched(address, _reason(error)) from None
    if total is not None and done < total:
        raise _not_fetched(address, f"it broke off after {done:,} of {total:,} bytes")
    found = digest.hexdigest()
    if not found.startswith(sha256):
        raise DownloadError(
            f"{address}: not the published file: its SHA-256 begins with {found[: len(sha256)]}, "
            f"not {sha256}."
        )


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn a full disk into a PspError, so that it is not taken for an error of the network."""
    try:
        yield
    except OSError as error:
        raise PspError(f"{path}: cannot be written: {error.strerror or error}.") from error


def _not_fetched(address: str, reason: str) -> DownloadError:
    return DownloadError(f"{address} could not be fetched ({reason}).")


def _reason(error: Exception) -> str:
    """Say what went wrong on the way, in one line."""
    inner = getattr(error, "reason", error)
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return str(text).splitlines()[0].rstrip(".")
