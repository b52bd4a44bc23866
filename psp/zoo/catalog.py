"""The catalog of published weights that psp can download by name, and where they are kept.

The entries are in catalog.toml beside this file: addresses, checksums, terms, published scores.
"""

import os
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from psp.errors import PspError, nearest
from psp.model.procedure import Published

CATALOG = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Publisher:
    """Who published weights, on which terms, and where that was read."""

    title: str
    page: str
    kind: str  # the importer that reads their files, an `ImportedNetwork.kind`
    addresses: tuple[str, ...]  # where their files lie, the first that answers is taken
    terms: str  # as the publisher states them
    read_in: str  # the publisher's documents that scores and terms were read in
    remark: str = ""  # on the terms


@dataclass(frozen=True)
class Remote:
    """A file to download, from the first of its addresses that has it.

    `sha256` has as many digits of its checksum as are published.
    """

    addresses: tuple[str, ...]
    sha256: str = ""

    @property
    def address(self) -> str:
        """The publisher's own address."""
        return self.addresses[0]

    @property
    def name(self) -> str:
        """The file name in the address."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True)
class Score:
    """What the publisher measured on the data set's validation split, in percent."""

    miou: float
    procedure: str
    pixel_accuracy: float | None = None


@dataclass(frozen=True)
class Entry:
    """Published weights. psp runs them by their `procedure`.

    By another one, that is on windows of `crop`, and pictures of a long side of `base_size`.
    """

    name: str
    publisher: Publisher
    card: str
    backbone: str
    files: tuple[Remote, ...]
    crop: int
    megabytes: int  # of the converted weights file
    scores: tuple[Score, ...]
    version: int  # of the catalog; each version has its own cache folder
    base_size: int | None = None
    align_corners: bool = False  # of its upsampling; the tensors do not show it
    stem: str = "deep"  # as an architecture's
    class_order: str = ""  # "raw values": of its channels; "": as its list of names says
    procedure: Published | None = None  # of its scores; None: what the importer reads in the file
    folder: Path | None = None  # where it is kept; None: the cache folder

    @property
    def path(self) -> Path:
        """The converted weights file, which exists after the first use."""
        folder = self.folder or cache_folder()
        return folder / f"weights-{self.version}" / f"{self.name}.safetensors"

    @property
    def manual_folder(self) -> Path:
        """The folder for the publisher's files if the user gets them by other means."""
        return (self.folder or cache_folder()) / self.name

    @property
    def terms(self) -> str:
        """The publisher's terms, and the command that shows those of the training data."""
        remark = f" ({self.publisher.remark})" if self.publisher.remark else ""
        return f"{self.publisher.terms}{remark}; of the training data: psp cards show {self.card}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "card": self.card,
            "backbone": self.backbone,
            "stem": self.stem,
            "publisher": self.publisher.title,
            "page": self.publisher.page,
            "kind": self.publisher.kind,
            "files": [
                {
                    "address": f.address,
                    "other_addresses": list(f.addresses[1:]),
                    "sha256": f.sha256 or None,
                }
                for f in self.files
            ],
            "terms": self.publisher.terms,
            "scores": [
                {"miou": s.miou, "pixel_accuracy": s.pixel_accuracy, "procedure": s.procedure}
                for s in self.scores
            ],
            "read_in": self.publisher.read_in,
            "crop": self.crop,
            "base_size": self.base_size,
            "test": asdict(self.procedure) if self.procedure else None,
            "megabytes": self.megabytes,
            "cached": str(self.path) if self.path.is_file() else None,
        }


def entries() -> dict[str, Entry]:
    """Return the published weights by name."""
    value = tomllib.loads(CATALOG.read_text(encoding="utf-8"))
    publishers = {
        name: Publisher(**{**table, "addresses": tuple(table["addresses"])})
        for name, table in value["publishers"].items()
    }
    return {
        name: Entry(
            **{
                **{key: value for key, value in table.items() if key != "test"},
                "name": name,
                "version": value["version"],
                "publisher": publishers[table["publisher"]],
                "files": tuple(
                    _remote(publishers[table["publisher"]], **file) for file in table["files"]
                ),
                "scores": tuple(Score(**score) for score in table["scores"]),
                "procedure": Published(**table["test"]) if "test" in table else None,
            }
        )
        for name, table in value["weights"].items()
    }


def _remote(publisher: Publisher, path: str, sha256: str = "") -> Remote:
    return Remote(tuple(f"{address}{path}" for address in publisher.addresses), sha256)


def published_as(name: str) -> Entry:
    """Return the entry of that name. Raises PspError if there is none."""
    known = entries()
    if name not in known:
        raise PspError(
            f"no published weights are called '{name}'.{nearest(name, known)} See: psp models"
        )
    return known[name]


def cache_folder() -> Path:
    """Return the folder for downloaded weights.

    That is PSP_CACHE, else XDG_CACHE_HOME/psp, else ~/.cache/psp. Raises PspError if the user has
    no home folder.
    """
    own, shared = os.environ.get("PSP_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        if own:
            return Path(own).expanduser().absolute()
        if Path(shared).is_absolute():  # the XDG specification: ignore a relative path
            return Path(shared) / "psp"
        return Path.home() / ".cache" / "psp"
    except RuntimeError:
        raise PspError(
            "no home folder to keep weights in. Name a folder in the environment: PSP_CACHE=DIR"
        ) from None
