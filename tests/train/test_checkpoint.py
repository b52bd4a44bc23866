"""Checkpoints are whole or absent; two are kept; a damaged one falls back; nothing is executed."""

import os
import zipfile
from pathlib import Path

import pytest
import torch

from psp.errors import PspError
from psp.train.checkpoint import load_checkpoint, save_checkpoint


def save(folder, *steps):
    for step in steps:
        save_checkpoint(folder, step, {"network": {"w": torch.full((999,), float(step))}})


def test_the_newest_is_loaded_and_two_are_kept(tmp_path):
    save(tmp_path, 5, 10, 100)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000010.pt", "00000100.pt"]
    state, remarks = load_checkpoint(tmp_path)
    assert (state["step"], remarks) == (100, [])
    assert (state["network"]["w"] == 100).all()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_newest_falls_back_and_says_so(tmp_path, damage):
    save(tmp_path, 1, 2)
    path = tmp_path / "00000002.pt"
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "empty":
        data = data[:0]
    else:
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        data[largest.header_offset + 400] ^= 1
    path.write_bytes(bytes(data))
    state, remarks = load_checkpoint(tmp_path)
    assert state["step"] == 1
    assert len(remarks) == 1
    assert "00000002.pt is damaged" in remarks[0]


def test_a_damaged_file_passed_over_does_not_count_as_kept(tmp_path):
    save(tmp_path, 3, 6, 9)
    torn = tmp_path / "00000009.pt"
    torn.write_bytes(torn.read_bytes()[:100])
    assert load_checkpoint(tmp_path)[0]["step"] == 6
    save(tmp_path, 7)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000006.pt", "00000007.pt"]


def test_none_is_an_error(tmp_path):
    with pytest.raises(PspError, match="checkpoint"):
        load_checkpoint(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def disk_full(path, data):
        path.open("wb").write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(PspError, match="00000002.pt.*No space left"):
        save(tmp_path, 2)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["00000001.pt"]
    assert load_checkpoint(tmp_path)[0]["step"] == 1


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_a_checkpoint_with_code_in_it_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save({"step": 1, "evil": Evil()}, folder / "00000001.pt")
    with pytest.raises(PspError, match="no checkpoint") as error:
        load_checkpoint(folder)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_files_of_the_user_stay_and_are_not_resumed_from(tmp_path):
    for name in ("9backup.pt", "99999999-copy.pt", "notes.txt"):
        (tmp_path / name).write_bytes(b"mine")
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"value": step})
    assert load_checkpoint(tmp_path)[0]["value"] == 3
    assert (tmp_path / "9backup.pt").read_bytes() == b"mine"
    assert (tmp_path / "99999999-copy.pt").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.glob("0*.pt")) == ["00000002.pt", "00000003.pt"]
