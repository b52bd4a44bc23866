"""What kind of file stands in a folder of pictures: one to read, or one of those that are left out.

Files are named by their suffix; what has none, or an unknown one, by its first bytes.
"""

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from psp.images.heif import (
    AVIF_SUFFIXES,
    HEIF_SUFFIXES,
    INSTALL,
    has_avif,
    has_heif,
    is_avif,
    is_heif,
)


@dataclass(frozen=True)
class Kind:
    """A kind of file that is left out; `pictures`: then pictures are missing from the result."""

    name: str
    remedy: str
    pictures: bool = True


HEIC = Kind("HEIC", f"{INSTALL}, or convert them to PNG")
AVIF = Kind("AVIF", "install a newer Pillow (pip install -U pillow), or convert them to PNG")
RAW = Kind("camera raw", "convert them to JPEG or PNG with a raw converter")
JPEG_XL = Kind("JPEG XL", "convert them to PNG (djxl)")
JPEG_2000 = Kind("JPEG 2000", "convert them to PNG")
VECTOR = Kind("drawing", "export them as PNG")
VIDEO = Kind("video", "extract the frames: ffmpeg -i VIDEO frames/%06d.png")
OTHER_PICTURE = Kind("picture of a kind that is not read here", "convert them to PNG")
UNNAMED = Kind("picture without its usual suffix", "rename them, for example to .jpg or .png")
ARCHIVE = Kind("archive", "unpack it if pictures are in it", pictures=False)
DOCUMENT = Kind("document", "save the pictures in it as PNG", pictures=False)
OTHER = Kind("other file", "", pictures=False)


def suffixes(words: str) -> frozenset[str]:
    """Return suffixes with their dots from words without."""
    return frozenset(f".{word}" for word in words.split())


_SUFFIXES = {
    HEIC: HEIF_SUFFIXES,
    AVIF: AVIF_SUFFIXES,
    RAW: suffixes(
        "3fr ari arw bay braw cap cr2 cr3 crw dcr dcs dng drf eip erf fff gpr iiq k25 kdc mdc mef "
        "mos mrw nef nrw orf pef ptx pxn r3d raf raw rw2 rwl rwz sr2 srf srw x3f"
    ),
    JPEG_XL: suffixes("jxl"),
    JPEG_2000: suffixes("jp2 j2k j2c jpc jpf jpx jpm jph jhc"),
    VECTOR: suffixes("svg svgz eps ai wmf emf cdr dxf"),
    VIDEO: suffixes(
        "3g2 3gp amv asf avi dv f4v flv h264 h265 hevc insv m1v m2t m2ts m2v m4v mjpeg mjpg mkv "
        "mov mp4 mpe mpeg mpg mts mxf ogv qt rm rmvb ts vob webm wmv y4m yuv"
    ),
    OTHER_PICTURE: suffixes(
        "psd psb xcf kra exr hdr pic pfm dds ico icns tga pcx qoi ras sgi rgb sr sun xbm xpm pam "
        "bpg flif ktx ktx2 jxr wdp hdp dcm dicom nii ecw sid img djvu jls jng mng fits fit cin dpx "
        "cur insp dib"
    ),
    ARCHIVE: suffixes("zip tar gz tgz bz2 tbz tbz2 xz txz 7z rar zst lz4 iso dmg cab jar"),
    DOCUMENT: suffixes("pdf doc docx ppt pptx odt key pages"),
}
BY_SUFFIX = {suffix: kind for kind, group in _SUFFIXES.items() for suffix in group}
# What systems and programs leave in folders by themselves; names that begin with a dot are too.
_LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})
# No pictures, and many beside pictures: their bytes are not looked at.
_PLAIN = suffixes(
    "txt md rst csv tsv json jsonl geojson xml html htm yaml yml toml ini cfg log py ipynb sh bat "
    "npy npz mat pkl pt pth h5 hdf5 xmp aae thm db sqlite xls xlsx ods js css"
)
_HEAD = 64  # bytes
MOST_EXAMPLES = 1000  # files that are named, of those that are left out


def is_litter(name: str) -> bool:
    """Whether an entry of a folder is hidden, or what a system leaves there: never looked at."""
    return name.startswith(".") or name.lower() in _LITTER


def content_kind(head: bytes) -> Kind | None:
    """Return the kind of a file that is left out, by its first bytes; None if they show none."""
    if is_heif(head):
        return None if has_heif() else HEIC
    if is_avif(head):
        return None if has_avif() else AVIF
    for kind, starts in _STARTS.items():
        if head.startswith(starts):
            return kind
    if head[4:8] == b"ftyp":
        return RAW if head[8:12] == b"crx " else VIDEO
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return VIDEO
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"svg" in text):
        return VECTOR
    return None


_STARTS: dict[Kind, tuple[bytes, ...]] = {
    JPEG_XL: (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    JPEG_2000: (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    RAW: (
        b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM",
        b"II\x1a\0\0\0HEAP", b"II*\0\x10\0\0\0CR",
    ),
    VECTOR: (b"%!PS",),
    DOCUMENT: (b"%PDF-",),
    VIDEO: (
        b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV\1", b"0&\xb2u\x8ef\xcf\x11", b"OggS",
    ),
    ARCHIVE: (
        b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\7", b"\xfd7zXZ\0",
        b"BZh",
    ),
    OTHER_PICTURE: (
        b"8BPS", b"gimp xcf", b"v/1\1", b"qoif", b"DDS ", b"#?RADIANCE", b"PF\n", b"P7\n",
    ),
}  # fmt: skip
_PICTURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0",
    b"MM\0+",
)  # fmt: skip


def is_picture(head: bytes) -> bool:
    """Whether a file's first bytes are those of a picture that psp reads, by its signature."""
    return (
        head.startswith(_PICTURES)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
        or is_heif(head)
        or is_avif(head)
    )


@dataclass
class LeftOut:
    """Counts the files of folders that are not used, by kind and suffix, for one line on them."""

    counts: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)  # a picture of the same name is read
    remedies: dict[Kind, str] = field(default_factory=dict)  # where a kind has another than its own
    examples: list[tuple[Path, str]] = field(default_factory=list)  # pictures and their kinds

    @property
    def pictures(self) -> dict[str, int]:
        """How many pictures and videos are left out, by suffix."""
        found = Counter[str]()
        for (kind, suffix), count in self.counts.items():
            if kind.pictures:
                found[suffix] += count
        return dict(sorted(found.items()))

    def update(self, other: "LeftOut") -> None:
        """Add the counts of another folder."""
        self.counts.update(other.counts)
        self.beside.update(other.beside)
        self.examples += other.examples[: MOST_EXAMPLES - len(self.examples)]

    def __str__(self) -> str:
        """Return one sentence on what is left out, and what to do; "" if there is nothing."""
        parts = []
        for kind in dict.fromkeys(kind for kind, _ in sorted(self.counts, key=_place)):
            counts = {s: n for (of, s), n in sorted(self.counts.items(), key=_order) if of is kind}
            shown = " and ".join(f"{count} {suffix}" for suffix, count in counts.items())
            advice = self.remedies.get(kind, kind.remedy)
            remedy = f": {advice}" if advice else ""
            parts.append(f"{shown} ({kind.name}{remedy})")
        if self.beside:
            shown = " and ".join(f"{count} {s}" for s, count in sorted(self.beside.items()))
            parts.append(f"{shown} beside a picture of the same name")
        return f"not used: {'; '.join(parts)}" if parts else ""


def _place(entry: tuple[Kind, str]) -> tuple[int, str]:
    return [*_SUFFIXES, UNNAMED, OTHER].index(entry[0]), entry[1]


def _order(item: tuple[tuple[Kind, str], int]) -> str:
    return item[0][1]


def sort_files(files: Iterable[Path], read: Collection[str], left_out: LeftOut) -> Iterator[Path]:
    """Yield the pictures among the files of one folder; count the others in `left_out`.

    `read` are the suffixes that are read. A file without a suffix is a picture if its first bytes
    say so. Photos and videos beside a picture of the same name are the same photo: a camera's raw
    file, a phone's short film.
    """
    stems: set[str] = set()
    others: list[Path] = []
    for path in files:
        suffix = path.suffix.lower()
        unread = (suffix in HEIF_SUFFIXES and not has_heif()) or (
            suffix in AVIF_SUFFIXES and not has_avif()
        )
        if (suffix in read and not unread) or (
            not suffix and is_picture(head := _head(path)) and content_kind(head) is None
        ):
            stems.add(path.stem)
            yield path
        else:
            others.append(path)
    for path in others:
        suffix = path.suffix.lower()
        kind = _kind(path)
        if kind.pictures and path.stem in stems:
            left_out.beside[suffix] += 1
        else:
            known = suffix[1:].isalnum() and suffix.isascii() and len(suffix) < 8
            name = suffix if known else "of other names" if suffix else "without suffix"
            left_out.counts[kind, name] += 1
            if kind.pictures and len(left_out.examples) < MOST_EXAMPLES:
                left_out.examples.append((path, kind.name))


def _kind(path: Path) -> Kind:
    suffix = path.suffix.lower()
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix]
    if suffix in _PLAIN:
        return OTHER
    head = _head(path)
    return UNNAMED if is_picture(head) else content_kind(head) or OTHER


def _head(path: Path) -> bytes:
    """Return a regular file's first bytes; b"" for anything else, and if it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - as fast as possible
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def why_unread(data: bytes, where: str) -> str | None:
    """Return what a file is that is no picture that psp reads, and what to do; None if unknown."""
    kind = content_kind(data[:_HEAD]) or BY_SUFFIX.get(PurePath(where).suffix.lower())
    if kind is None:
        return None
    remedy = kind.remedy.replace("them", "it")
    return f"it is {_article(kind.name)} {kind.name}: {remedy}"


def _article(name: str) -> str:
    return "an" if name[0] in "aAeEiIoO" else "a"
