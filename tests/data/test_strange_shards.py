"""Shards of strangers: only what is in the file itself is read, and no more than it holds."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.errors import error_naming

from psp.data.cardfile import find_card
from psp.data.manifest import ShardError
from psp.data.shards import ShardSplit
from psp.data.verify import verify
from psp.prepare.pipeline import prepare

SECRET = b"root:x:0:0:the secret of the reader\n" * 200


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    from helpers.trees import noise, save_picture

    root, rng = tmp_path_factory.mktemp("strange"), np.random.default_rng(3)
    for split in ("train", "val", "test"):
        for number in range(3):
            save_picture(root / f"raw/{split}/{number}.png", noise(rng, 16, 24))
            ids = rng.integers(0, 12, (16, 24), dtype=np.uint8)
            save_picture(root / f"raw/{split}annot/{number}.png", ids)
    prepare(find_card("camvid"), root / "raw", root / "shards", allow_incomplete=True)
    return root / "shards"


@pytest.fixture
def shards(good, tmp_path):
    shutil.copytree(good, tmp_path / "shards")
    return tmp_path / "shards"


def change(shards, work, checksums=False):
    """Change a shard with h5py; its size in the manifest follows, its checksums are left out."""
    path = shards / "val-00000.h5"
    with h5py.File(path, "r+") as file:
        if not checksums:
            del file.attrs["checksums"]
        work(file)
    manifest = json.loads((shards / "manifest.json").read_text())
    manifest["splits"]["val"]["shards"][0]["bytes"] = path.stat().st_size
    (shards / "manifest.json").write_text(json.dumps(manifest))
    return path


def external(name):
    def work(file):
        secret = Path(file.filename).with_name("secret.txt")
        secret.write_bytes(SECRET)
        old = file[name]
        shape, dtype = old.shape, old.dtype
        del file[name]
        size = int(np.prod(shape)) * dtype.itemsize
        file.create_dataset(name, shape, dtype, external=[(str(secret), 0, size)])

    return work


def link(name, kind):
    def work(file):
        other = Path(file.filename).with_name("other.h5")
        with h5py.File(other, "w") as target:
            target["x"] = file[name][:]
        del file[name]
        file[name] = (
            h5py.ExternalLink(str(other), "/x") if kind == "external" else h5py.SoftLink("/size")
        )

    return work


def virtual(file):
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as target:
        target["x"] = file["crc32"][:]
    layout = h5py.VirtualLayout((3, 2), np.uint32)
    layout[:] = h5py.VirtualSource(str(other), "x", (3, 2))
    del file["crc32"]
    file.create_virtual_dataset("crc32", layout)


def stored_as(name, **options):
    def work(file):
        values = file[name][:]
        del file[name]
        file.create_dataset(name, data=values, **options)

    return work


def claimed(name, shape):
    def work(file):
        dtype = file[name].dtype
        del file[name]
        file.create_dataset(name, shape, dtype)

    return work


def committed(file):
    values = file["size"][:]
    del file["size"]
    file["kind"] = np.dtype("<i4")
    file.create_dataset("size", data=values, dtype=file["kind"])
    del file["kind"]


def references(file):
    del file["size"]
    file.create_dataset("size", (3, 2), h5py.ref_dtype)[:] = file.ref


STRANGE = {
    **{f"external {name}": external(name) for name in ("images/bytes", "labels/bytes", "name")},
    "external offsets": external("images/offsets"),
    "external link": link("labels/bytes", "external"),
    "external link of a table": link("size", "external"),
    "soft link": link("crc32", "soft"),
    "virtual": virtual,
    "chunked": stored_as("images/bytes", chunks=(100,)),
    "compressed": stored_as("size", compression="gzip"),
    "floats": stored_as("size", dtype="f8"),
    "committed type": committed,
    "references": references,
    "10^12 sizes": claimed("size", (10**12, 2)),
    "10^12 bytes": claimed("images/bytes", (10**12,)),
    "10^12 names": claimed("name", (10**12,)),
    "10^12 counts": claimed("pixels", (3, 10**12)),
}


@pytest.mark.parametrize("how", STRANGE)
def test_what_is_not_in_the_file_as_psp_stores_it_is_refused(shards, how):
    path = change(shards, STRANGE[how])
    with error_naming(ShardError, path, "damaged", "psp prepare") as error:
        ShardSplit(shards, "val")
    _, problems = verify(shards)
    for text in (str(error.value), *problems):
        assert "secret of the reader" not in text and "\n" not in text


@pytest.mark.parametrize("command", ["inspect", "verify", "train"])
def test_commands_do_not_read_the_files_of_the_reader(shards, psp, command):
    change(shards, external("images/bytes"))
    more = (
        ["--steps", "1", "--set", "val_split=val", "--init", "none"] if command == "train" else []
    )
    code, out, err = psp(command, shards, *more)
    assert code == 2 and "secret of the reader" not in out + err
    assert err.count("error: ") == 1 and "Traceback" not in err


@pytest.mark.parametrize("name", [b"../../x", b"/etc/x", b"..", b"a/../../b", b"", b"a//b"])
def test_names_of_pictures_are_paths_below(shards, name):
    def rename(file):
        names = [name, b"b", b"c"]
        del file["name"]
        kind = h5py.string_dtype("utf-8", 20)
        file.create_dataset("name", data=np.array(names, kind), dtype=kind)

    path = change(shards, rename)
    split = ShardSplit(shards, "val")
    with error_naming(ShardError, path, "name", "below"):
        _ = split.names


@pytest.mark.parametrize("table", ["size", "crc32", "images/offsets", "labels/offsets"])
def test_a_flip_in_a_table_is_found_when_the_shard_is_opened(shards, table):
    path = shards / "val-00000.h5"
    with h5py.File(path, "r+") as file:
        file[table][1] = file[table][1] + 1
    with error_naming(ShardError, path, f"'/{table}'", "psp prepare"):
        ShardSplit(shards, "val")


@pytest.mark.parametrize(("table", "value"), [("pixels", 5), ("name", b"9")])
def test_a_flip_in_a_table_is_found_when_it_is_first_read(shards, table, value):
    path = shards / "val-00000.h5"
    with h5py.File(path, "r+") as file:
        file[table][1] = value
    split = ShardSplit(shards, "val")
    assert len(split) == 3 and split.image(0).shape == (16, 24, 3)
    with error_naming(ShardError, path, f"'/{table}'", "psp prepare"):
        _ = split.names if table == "name" else split.pixels
    _, problems = verify(shards)
    assert any(f"'/{table}'" in text for text in problems)


@pytest.mark.parametrize(
    ("key", "old", "new"), [("card", b"sky", b"sly"), ("conversion", b"null", b"5555")]
)
def test_a_flip_in_the_attributes_is_found_when_the_shard_is_opened(shards, key, old, new):
    def flip(file):
        assert old.lower() in bytes(file.attrs[key]).lower()
        at = bytes(file.attrs[key]).lower().index(old)
        text = bytes(file.attrs[key])
        file.attrs[key] = np.bytes_(text[:at] + new + text[at + len(old) :])

    path = change(shards, flip, checksums=True)
    with error_naming(ShardError, path, "attributes", "psp prepare"):
        ShardSplit(shards, "val")


def test_shards_without_checksums_of_tables_are_read_as_before(shards):
    change(shards, lambda file: None)
    split = ShardSplit(shards, "val")
    assert split.names == ["0", "1", "2"] and split.pixels.sum() == 3 * 16 * 24
    assert split.first(2).names == ["0", "1"] and len(split.first(2).pixels) == 2


@pytest.mark.parametrize("kind", ["fifo", "zero", "folder"])
def test_only_regular_files_are_opened(shards, kind):
    import os

    path = shards / "val-00000.h5"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with error_naming(ShardError, path):
        ShardSplit(shards, "val")
    assert verify(shards)[1]


def test_links_to_shards_are_ordinary(shards):
    (shards.parent / "elsewhere").mkdir()
    for path in list(shards.glob("*.h5")):
        path.rename(shards.parent / "elsewhere" / path.name)
        path.symlink_to(shards.parent / "elsewhere" / path.name)
    assert verify(shards) == (9, [])
