"""The catalog of published weights: what may be fetched by name, and where it is kept.

catalog.toml beside this file holds the entries: addresses, checksums, terms, published scores.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.errors import PspError

CATALOG = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Publisher:
    """Who published weights, on what terms as they state them, and where that was read."""

    title: str
    page: str
    kind: str  # the importer that reads their files, a `ImportedNetwork.kind`
    terms: str
    read_in: str
    remark: str = ""  # on the terms


@dataclass(frozen=True)
class Remote:
    """A file to download, and as many digits of its SHA-256 as are published ("": none)."""

    address: str
    sha256: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True)
class Score:
    """What the publisher measured on the data set's validation split, in percent."""

    miou: float
    procedure: str
    pixel_accuracy: float | None = None


@dataclass(frozen=True)
class Entry:
    """Published weights; `crop` and `base_size` are how psp looks at pictures with them."""

    name: str
    publisher: Publisher
    card: str
    backbone: str
    files: tuple[Remote, ...]
    crop: int
    megabytes: int  # of the weights file that psp makes
    scores: tuple[Score, ...]
    version: int  # of the catalog; another one is kept elsewhere
    base_size: int | None = None
    align_corners: bool = False  # of its graph: the one detail that is in a file's text alone

    @property
    def path(self) -> Path:
        """Where the weights are kept, once they were used."""
        return cache_folder() / f"weights-{self.version}" / f"{self.name}.safetensors"

    @property
    def by_hand(self) -> Path:
        """The folder where files that were brought by hand are looked for."""
        return cache_folder() / self.name

    @property
    def terms(self) -> str:
        """The publisher's terms, and where those of the data are to be found."""
        remark = f" ({self.publisher.remark})" if self.publisher.remark else ""
        return f"{self.publisher.terms}{remark}; the pictures' own: psp cards show {self.card}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "card": self.card,
            "backbone": self.backbone,
            "publisher": self.publisher.title,
            "page": self.publisher.page,
            "kind": self.publisher.kind,
            "files": [{"address": f.address, "sha256": f.sha256 or None} for f in self.files],
            "terms": self.publisher.terms,
            "scores": [
                {"miou": s.miou, "pixel_accuracy": s.pixel_accuracy, "procedure": s.procedure}
                for s in self.scores
            ],
            "read_in": self.publisher.read_in,
            "crop": self.crop,
            "base_size": self.base_size,
            "megabytes": self.megabytes,
            "cached": str(self.path) if self.path.is_file() else None,
        }


def entries() -> dict[str, Entry]:
    """Return the published weights by name."""
    value = tomllib.loads(CATALOG.read_text(encoding="utf-8"))
    publishers = {name: Publisher(**table) for name, table in value["publishers"].items()}
    return {
        name: Entry(
            **{
                **table,
                "name": name,
                "version": value["version"],
                "publisher": publishers[table["publisher"]],
                "files": tuple(Remote(**file) for file in table["files"]),
                "scores": tuple(Score(**score) for score in table["scores"]),
            }
        )
        for name, table in value["weights"].items()
    }


def cache_folder() -> Path:
    """Return where fetched weights are kept: PSP_CACHE, else XDG_CACHE_HOME/psp, or ~/.cache/psp.

    Raises PspError where there is no home.
    """
    own, shared = os.environ.get("PSP_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        if own:
            return Path(own).expanduser().absolute()
        if Path(shared).is_absolute():  # its specification: a relative one is to be ignored
            return Path(shared) / "psp"
        return Path.home() / ".cache" / "psp"
    except RuntimeError:
        raise PspError("there is no home folder to keep weights in. Name one: PSP_CACHE") from None
