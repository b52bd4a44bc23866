"""Two commands at once never write the same files: one does it, and the other changes nothing."""

import fcntl
import multiprocessing
import os
import signal
import time

import pytest
from helpers.errors import error_naming

from psp.errors import PspError
from psp.events import Notice
from psp.locks import file_lock, one_at_a_time, only_writer

forked = multiprocessing.get_context("fork")


def hold(path, started):
    with file_lock(path, path.parent):
        started.set()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path):
    started = forked.Event()
    process = forked.Process(target=hold, args=(tmp_path / "lock", started))
    process.start()
    assert started.wait(20)
    yield process
    process.kill()
    process.join()


def test_a_lock_names_who_has_it_and_ends_with_it(tmp_path, holder):
    with error_naming(PspError, tmp_path, str(holder.pid)), file_lock(tmp_path / "lock", tmp_path):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with file_lock(tmp_path / "lock", tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_a_child_does_not_keep_the_lock_of_a_parent_that_is_killed(tmp_path):
    inside = forked.Event()

    def parent():
        with file_lock(tmp_path / "lock", tmp_path):
            forked.Process(target=time.sleep, args=(5,)).start()
            inside.set()
            time.sleep(60)

    process = forked.Process(target=parent)
    process.start()
    assert inside.wait(20)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with file_lock(tmp_path / "lock", tmp_path):
        pass


def contend(path, counter, refused):
    for _ in range(100):
        try:
            with file_lock(path, path.parent):
                before = int(counter.read_text())
                counter.write_text(str(before + 1))
        except PspError:
            with refused.get_lock():
                refused.value += 1


@pytest.mark.slow
def test_there_is_one_holder_at_a_time_however_often_the_file_goes_and_comes(tmp_path):
    counter, refused = tmp_path / "counter", forked.Value("i", 0)
    counter.write_text("0")
    arguments = (tmp_path / "lock", counter, refused)
    processes = [forked.Process(target=contend, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert int(counter.read_text()) + refused.value == 400


def test_without_locks_a_remark_says_so(tmp_path, monkeypatch):
    def refuse(handle, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    heard = []
    with only_writer(tmp_path / "out", heard.append), one_at_a_time(tmp_path):
        pass
    (remark,) = heard
    assert isinstance(remark, Notice) and str(tmp_path / "out") in remark.text
    assert "locks" in remark.text and list(tmp_path.iterdir()) == []


def test_a_folder_that_had_to_be_made_goes_again_if_nothing_came_into_it(tmp_path):
    with only_writer(tmp_path / "new/out"):
        assert [path.name for path in (tmp_path / "new").iterdir()] == [".out.lock"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_what_is_in_the_place_of_a_lock_stays(tmp_path, kind):
    path = tmp_path / "lock"
    os.mkfifo(path) if kind == "pipe" else path.write_text("a note of mine")
    with error_naming(PspError, path, "Move it away"), file_lock(path, tmp_path):
        pass
    assert path.exists()
