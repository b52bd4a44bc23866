"""Pickles that would take endless memory or time are refused before they are read."""

import os
import pickle
import zipfile

import pytest
import torch
from helpers.errors import error_naming

from psp.errors import PspError
from psp.zoo.tensors import read_tensors


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def save(path, data, legacy=False):
    """A file of torch.save whose pickle is `data`."""
    torch.save({"w": torch.zeros(2)}, path, _use_new_zipfile_serialization=not legacy)
    if legacy:
        whole = path.read_bytes()
        start = whole.index(b"\x80\x02}q\x00X\x01\x00\x00\x00w")
        path.write_bytes(whole[:start] + data)
        return path
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, data if name.endswith("data.pkl") else content)
    return path


def nested(levels):
    value = ("x",)
    for _ in range(levels):
        value = (value, value)
    return value


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["bytearray", "in a dictionary", "key", "item"])
def test_endless_memory_and_time_are_refused(tmp_path, kind, legacy):
    data = {
        "bytearray": pickle.dumps(Call(bytearray, 10**12), 2),
        "in a dictionary": pickle.dumps({"w": Call(bytearray, 10**11)}, 2),
        # Put together by hand, as a dictionary asks for the hash of its key.
        "key": b"\x80\x02}" + pickle.dumps(nested(60), 2)[2:-1] + b"K\x01s.",
        "item": pickle.dumps([nested(40)], 2),
    }[kind]
    path = save(tmp_path / "net.pth", data, legacy)
    with error_naming(PspError, path, "refused"):
        read_tensors(path)


def test_texts_that_grow_are_refused(tmp_path):
    call = b"c_codecs\nencode\n"
    data = b"\x80\x02" + call * 30 + b"X\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R"
    data += b"X\x03\x00\x00\x00hex\x86R" * 29 + b"."
    path = save(tmp_path / "net.pth", data)
    with error_naming(PspError, path, "refused", "encodes"):
        read_tensors(path)


def test_records_that_unpack_to_more_than_the_file_are_refused(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"w": torch.zeros(1 << 20)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    with error_naming(PspError, path, "larger than the file"):
        read_tensors(path)


def test_a_tensor_is_not_larger_than_its_file(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, path)
    with error_naming(PspError, path, "'w'", "larger than the file"):
        read_tensors(path)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(3, device="meta"), torch.zeros(3).to_sparse()],
    ids=["without values", "sparse"],
)
def test_tensors_of_other_kinds_are_refused(tmp_path, tensor):
    path = tmp_path / "net.pth"
    torch.save({"w": tensor}, path)
    with error_naming(PspError, path, "'w'"):
        read_tensors(path)


def test_a_dictionary_that_holds_itself_is_one_line(tmp_path):
    value = {"step": 3}
    value["model"] = {"state_dict": value}
    path = tmp_path / "net.pth"
    torch.save(value, path)
    with error_naming(PspError, path, "no dictionary of tensors"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_only_regular_files_are_opened(tmp_path, suffix):
    fifo, zero = tmp_path / f"fifo.{suffix}", tmp_path / f"zero.{suffix}"
    os.mkfifo(fifo)
    zero.symlink_to("/dev/zero")
    for path in (fifo, zero):
        with error_naming(PspError, path, "regular file"):
            read_tensors(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_ordinary_checkpoints_are_read(tmp_path, legacy):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.zeros(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = {"state_dict": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    path = tmp_path / "net.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    assert read_tensors(path).keys() == network.state_dict().keys()
