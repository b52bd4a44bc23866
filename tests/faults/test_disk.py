"""Full and read-only disks, files that vanish or change under a command, and a clock that jumps."""

import os
import shutil
import subprocess

import pytest
from faults.commands import difference, is_clear, outcome
from faults.injection import flip

COMMANDS = ("train", "prepare-1", "prepare-4", "predict")


def finished_later(warm, command, folder, where):
    """Run the command again, undisturbed: it must end as if nothing had been."""
    end = warm.run(*command.again(folder), cwd=folder)
    assert end.code == 0, f"{where}: {end}"
    differs = difference(command.undisturbed, outcome(folder))
    assert not differs, f"{where}: {differs}\n{end}"
    shutil.rmtree(folder)


@pytest.mark.parametrize("fault", ["ENOSPC", "EROFS", "EIO"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_fails_from_some_moment_on(warm, command, place, some, name, fault):
    chosen = command(name)
    for number in some(range(2, len(chosen.calls) + 1), 2):
        folder = place(number)
        end = warm.at(number, *chosen.args, cwd=folder, act=f"error:{fault}")
        where = f"{fault} from call {number} on, {chosen.calls[number - 1]}"
        assert is_clear(end), f"{where}: {end}"
        if end.code == 0:  # all was written; what failed was to tidy up
            assert number > len(chosen.calls) // 2, f"{where}: {end}"
        finished_later(warm, chosen, folder, where)


@pytest.mark.parametrize(
    ("name", "size"), [("train", 3 << 20), ("train", 1 << 20), ("prepare-1", 9000), ("predict", 50)]
)
def test_files_that_cannot_be_written_to_their_end(warm, command, place, name, size):
    """As on a full disk, where a write stores only a part; libraries in C write some of them."""
    chosen, folder = command(name), place(size)
    end = warm.run(*chosen.args, cwd=folder, limits={"RLIMIT_FSIZE": size})
    assert is_clear(end) and end.code == 2, str(end)
    finished_later(warm, chosen, folder, f"files of {size} bytes at most")


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(size) is a folder on a disk of its own; skips where this may not be made."""
    mounted = []

    def make(size):
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no right to mount a disk")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(("name", "sizes"), [("train", (5, 9)), ("prepare-1", (0.06, 0.15))])
def test_a_small_disk(warm, command, small_disk, name, sizes):
    chosen = command(name)
    for size in sizes:
        folder = small_disk(int(size * (1 << 20)))
        end = warm.run(*chosen.args, cwd=folder)
        assert is_clear(end) and end.code == 2, str(end)
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        end = warm.run(*chosen.again(folder), cwd=folder, check=0)
        assert not difference(chosen.undisturbed, outcome(folder)), f"{size}: {end}"


def test_a_folder_without_the_right_to_write(warm, command, place):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    for name in COMMANDS:
        chosen, folder = command(name), place(name)
        folder.chmod(0o500)
        end = warm.run(*chosen.args, cwd=folder)
        assert is_clear(end) and end.code == 2, str(end)
        folder.chmod(0o700)
        finished_later(warm, chosen, folder, "a folder that was read-only")


@pytest.mark.parametrize("name", ["prepare-1", "prepare-4"])
def test_a_picture_that_vanishes_while_it_is_prepared(warm, command, inputs, place, some, name):
    chosen = command(name)
    picture = inputs / "many/images/val/0019.png"  # the last
    for number in some(range(1, len(chosen.calls) + 1), 3):
        folder = place(number)
        try:
            end = warm.at(number, *chosen.args, cwd=folder, act=f"remove:{picture}")
        finally:
            shutil.move(f"{picture}.away", picture)
        assert is_clear(end), f"at call {number}: {end}"
        assert end.code == 0 or picture.name in end.lines[-1], f"at call {number}: {end}"
        finished_later(warm, chosen, folder, f"a picture vanished at call {number}")


def test_a_photo_that_vanishes_while_others_are_predicted(warm, command, inputs, place):
    chosen, folder = command("predict"), place("photo")
    photo = inputs / "photos/4.png"
    try:
        end = warm.at(1, *chosen.args, cwd=folder, act=f"remove:{photo}")
    finally:
        shutil.move(f"{photo}.away", photo)
    assert is_clear(end) and end.code in (0, 3), str(end)
    assert end.code == 0 or "4.png" in end.err
    end = warm.run(*chosen.args, cwd=folder, check=0)
    found = outcome(folder)
    names = {record["name"] for record in found["labels/predictions.jsonl"]}
    assert names == {"0", "1", "2", "3", "4"}
    assert found["labels/labels/4.png"] == chosen.undisturbed["labels/labels/4.png"]


@pytest.mark.parametrize("act", ["flip", "cut", "remove"])
@pytest.mark.parametrize("workers", [0, 1])
def test_shards_that_change_under_a_training(warm, command, inputs, place, act, workers):
    folder = place(act, workers)
    shutil.copytree(inputs / "shards", folder / "shards")
    calls = [call.replace(" run/", " out/") for call in command("train").calls]
    begun = next(k for k, call in enumerate(calls, 1) if "metrics.jsonl" in call)
    shard = folder / "shards/train-00000.h5"
    args = ("train", "shards", "-o", "out", "--workers", workers, "--steps", 40)
    end = warm.at(begun, *args, cwd=folder, act=f"{act}:{shard}")
    assert is_clear(end), str(end)
    if act != "remove":  # one that is open can be read to the end
        assert end.code == 2 and "train-00000.h5" in end.lines[-1], str(end)
        end = warm.run("verify", "shards", cwd=folder, check=2)
        assert "train-00000.h5" in end.err
        end = warm.run(*args, "--resume", cwd=folder, check=2)
        assert is_clear(end), str(end)


def test_shards_that_were_changed_before_are_found_by_every_reader(warm, inputs, place):
    folder = place("flipped")
    for name in ("shards", "run"):
        shutil.copytree(inputs / name, folder / name)
    flip(folder / "shards/val-00000.h5")
    for args in (("verify", "shards"), ("evaluate", "run", "--data", "shards")):
        end = warm.run(*args, cwd=folder, check=2)
        assert is_clear(end) and "val-00000.h5" in end.lines[-1], str(end)


@pytest.mark.parametrize("seconds", [-400_000_000, 3600])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_clock_that_jumps(warm, command, place, name, seconds):
    chosen, folder = command(name), place(seconds)
    number = len(chosen.calls) // 2
    end = warm.at(number, *chosen.args, cwd=folder, act=f"clock:{seconds}", check=0)
    assert not difference(chosen.undisturbed, outcome(folder)), str(end)
