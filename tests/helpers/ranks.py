"""Commands of psp on several ranks, as real processes."""

import functools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def torchrun(ranks, *arguments, restarts=0):
    """The command of `psp` on so many ranks, or of a script."""
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(ranks),
        "--max-restarts",
        str(restarts),
    ]
    return [
        *start,
        *([] if str(arguments[0]).endswith(".py") else ["-m", "psp"]),
        *map(str, arguments),
    ]


def forked(warm, ranks, *arguments, cwd):
    """Start `psp` on so many ranks as torchrun does, where nobody need import torch first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free), "WORLD_SIZE": str(ranks)}
    return [
        warm.start(*arguments, cwd=cwd, env={**here, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(ranks)
    ]


def ends(started, check=None):
    """Return how ranks have ended, the first one's end first."""
    found = [rank.end() for rank in started]
    if check is not None:
        assert {end.code for end in found} == {check}, "".join(map(str, found))
    return found


def launched(ranks, *arguments):
    """The command that `psp train --gpus N` starts, on CPUs."""
    program = "import sys; from psp.train.launch import launch; sys.exit(launch(int(sys.argv[1]), sys.argv[2:]))"  # noqa: E501
    return [sys.executable, "-c", program, str(ranks), *map(str, arguments)]


def run(command, cwd, check=None):
    done = subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True, timeout=280)
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def begin(command, cwd):
    return subprocess.Popen(
        command, cwd=cwd, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(condition, process):
    """Wait until something is so, while the process goes on."""
    end = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def rank_process(torchrun_id, rank):
    """Return the process id of a rank that this torchrun has started."""
    for child in Path(f"/proc/{torchrun_id}/task/{torchrun_id}/children").read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise AssertionError("no such rank")


@functools.cache
def port():
    """Return a port that nobody listens on: the same one for all ranks of a process's tests."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]
