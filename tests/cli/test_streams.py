"""Commands whose output nobody reads: they do their work, and write into no file by accident."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")


def run(*arguments, cwd, closed=(), full=()):
    """Run psp with streams closed or on a full disk; return the exit code and stderr."""

    def spoil():
        for number in closed:
            os.close(number)
        for number in full:
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)

    done = subprocess.run(
        [sys.executable, "-m", "psp", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        preexec_fn=spoil,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [["cards"], ["models", "--json"], ["--help"]])
def test_results_onto_a_full_disk_are_one_line(command, tmp_path):
    code, err = run(*command, cwd=tmp_path, full=[1])
    assert code == 2
    assert err.count("\n") == 1 and "the output cannot be written: No space" in err


@pytest.mark.slow
def test_a_reader_that_has_ended_is_no_error(tmp_path):
    for command in (["cards"], ["cards", "show", "voc2012"], ["models", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "psp", *command], stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def train(journey, folder, **spoilt):
    """Train two steps; return the names in the run, and its weights."""
    options = ["--steps", "2", "--workers", "1", "-o", "run"]
    assert run("train", journey.folder / "shards", *options, cwd=folder, **spoilt)[0] == 0
    weights = (folder / "run/last.safetensors").read_bytes()
    return {path.name for path in (folder / "run").iterdir()}, weights


@pytest.fixture(scope="module")
def seen(journey, tmp_path_factory):
    return train(journey, tmp_path_factory.mktemp("seen"))


@pytest.mark.slow
@pytest.mark.parametrize("spoilt", [{"full": [2]}, {"closed": [0, 1, 2]}])
def test_training_goes_on_without_anyone_to_tell(journey, tmp_path, seen, spoilt):
    """A closed stream's number goes to no file: the run is that of a training with a terminal."""
    assert train(journey, tmp_path, **spoilt) == seen
