"""Files broken byte by byte, missing, renamed, or replaced by something else."""

import os
import unicodedata
from pathlib import Path

from helpers.damage_tools import any_file, any_pair, clear, damage, labels, pick, put


def cut(path, rng):
    data = path.read_bytes()
    if len(data) > 1:
        put(path, data[: int(rng.integers(1, len(data)))])
    return [path]


def flip(path, rng):
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    put(path, bytes(data))
    return [path]


@damage("image cut short")
def image_cut(tree, rng):
    return cut(any_pair(tree, rng)[0], rng)


@damage("label cut short")
def label_cut(tree, rng):
    return cut(any_pair(tree, rng)[1], rng)


@damage("list cut short", "list")
def list_cut(tree, rng):
    return cut(pick(tree.lists, rng), rng)


@damage("image with flipped bits")
def image_flip(tree, rng):
    return flip(any_pair(tree, rng)[0], rng)


@damage("label PNG with flipped bits", "png")
def label_flip(tree, rng):
    return flip(any_pair(tree, rng)[1], rng)


@damage("label .mat with flipped bits", "mat")
def mat_flip(tree, rng):
    return flip(any_pair(tree, rng)[1], rng)


@damage("list with flipped bits", "list")
def list_flip(tree, rng):
    return flip(pick(tree.lists, rng), rng)


@damage("file emptied")
def emptied(tree, rng):
    path = any_file(tree, rng)
    put(path, b"")
    return [path]


@damage("file of zeros, of text, of a program")
def nonsense(tree, rng):
    path = any_file(tree, rng)
    size = path.stat().st_size
    put(path, pick([bytes(size), b"<html>404</html>\n", rng.bytes(size), PROGRAM], rng))
    return [path]


# Pillow hands PostScript to Ghostscript, which runs it.
PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@damage("labels swapped")
def swapped(tree, rng):
    found = labels(tree)
    one, two = (found[int(at)] for at in rng.choice(len(found), 2, replace=False))
    first, second = one[1].read_bytes(), two[1].read_bytes()
    if one[1].suffix != two[1].suffix:  # SBD's, and VOC's own
        return []
    put(one[1], second)
    put(two[1], first)
    return [*one, *two]


@damage("image or label renamed")
def renamed(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    other = pick([f"x{path.name}", f"{path.stem}.bak", f"{path.name}.orig", path.stem], rng)
    path.rename(path.with_name(other))
    return [path, path.with_name(other)]


@damage("image or label missing")
def missing(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    path.unlink()
    return [path]


@damage("folder in place of a file")
def folder_for_file(tree, rng):
    path = any_file(tree, rng)
    path.unlink()
    path.mkdir()
    return [path]


@damage("FIFO in place of a file")
def fifo_for_file(tree, rng):
    path = any_file(tree, rng)
    path.unlink()
    os.mkfifo(path)
    return [path]


@damage("link to nothing or to itself in place of a file")
def link_for_file(tree, rng):
    path = any_file(tree, rng)
    path.unlink()
    path.symlink_to(pick(["nowhere", path.name, "/dev/null"], rng))
    return [path]


def any_folder(tree, rng):
    return any_file(tree, rng).parent


@damage("file or FIFO in place of a folder")
def file_for_folder(tree, rng):
    path = any_folder(tree, rng)
    if path == tree.root:
        return []
    clear(path)
    pick([path.touch, lambda: os.mkfifo(path)], rng)()
    return [path, tree.root, *([tree.sbd] if tree.sbd else [])]


@damage("link to nothing or to itself in place of a folder")
def link_for_folder(tree, rng):
    path = any_folder(tree, rng)
    if path == tree.root:
        return []
    clear(path)
    path.symlink_to(pick(["nowhere", path.name, ".."], rng))
    return [path, tree.root, *([tree.sbd] if tree.sbd else [])]


@damage("link to a folder above, inside a folder")
def link_inside(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))].parent
    (path / "again").symlink_to(pick([".", "..", tree.root], rng))
    return [path, tree.root]


@damage("odd name: letters, blanks, quotes")
def odd_name(tree, rng):
    return rename_pair(tree, rng, ["Straße_été_日本", "a b  c", 'it\'s "it"', "[b]%s{x}", "a.b.c"])


@damage("odd name: newline, escape, no UTF-8")
def control_name(tree, rng):
    return rename_pair(tree, rng, ["two\nlines", "red\x1b[31m", "tab\there", "latin\udce9"])


@damage("odd name: very long")
def long_name(tree, rng):
    # A file's name holds 255 bytes, of which the layouts take some.
    return rename_pair(tree, rng, ["n" * 220, "é" * 110])


def rename_pair(tree, rng, names):
    """Give a picture and its label another name, and name it so in the lists."""
    split = pick([name for name in tree.pairs if tree.pairs[name]], rng)
    old = pick(sorted(tree.pairs[split]), rng)
    new = pick(names, rng)
    paths = [path for path in tree.pairs[split][old] if path]
    moved = [path.with_name(path.name.replace(Path(old).name, new)) for path in paths]
    broken = bool(rng.integers(2))
    for number, (path, other) in enumerate(zip(paths, moved, strict=True)):
        path.rename(other)
        if broken and number == len(paths) - 1:
            cut(other, rng)
    for path in tree.lists:
        data = path.read_bytes()
        put(path, data.replace(old.encode(), os.fsencode(new)))
    return [*paths, *moved, *tree.lists, *(path.parent for path in paths)]


@damage("names that differ by case or by suffix")
def doubles(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    suffix = pick([path.suffix.upper(), ".png", ".jpg", ".bmp"], rng)
    name = pick([path.stem, path.stem.upper()], rng)
    other = path.with_name(name + suffix)
    if other != path:
        other.write_bytes(path.read_bytes())
    return [path, other]


@damage("composed and decomposed letters")
def normal_forms(tree, rng):
    image, label = any_pair(tree, rng)
    letters = "é"
    for path, form in ((image, "NFC"), (label, "NFD")):
        stem = path.name.replace("0", unicodedata.normalize(form, letters), 1)
        path.rename(path.with_name(stem))
    return [image, label, image.parent, label.parent]


@damage("hidden and foreign files")
def foreign(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    for name in (f"._{path.name}", ".DS_Store", "Thumbs.db", "README.txt", f"{path.stem}.xml"):
        path.with_name(name).write_bytes(b"no picture")
    (path.parent / "__MACOSX").mkdir()
    if rng.integers(2):
        put(path.with_name(f"extra{path.suffix}"), path.read_bytes())
    return [path.with_name(f"extra{path.suffix}"), path.parent]
