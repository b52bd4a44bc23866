"""Ranks of several launchers, as on several machines: restarts, and a rank that is gone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.ranks import ENV, begin, port, wait_for

from psp.runs import Run

pytestmark = [pytest.mark.ranks, pytest.mark.slow]


def launcher(node, *arguments):
    """The command of one of two machines with one rank each, which finds the other by itself."""
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port()}", "--rdzv-id", "none"),
        *("--rdzv-conf", f"is_host={int(node == 0)}", "--max-restarts", "2"),
        *("-m", "psp", *map(str, arguments)),
    ]


def test_machines_that_count_their_restarts_differently_go_on_together(journey, tmp_path):
    """A rank of the second machine is killed: that one counts a restart, the first counts none.

    They share a folder: its checkpoints, from which both resume, its validations and its weights.
    """
    (tmp_path / "shards").symlink_to(journey.folder / "shards")
    start = journey.folder / "run/last.safetensors"
    settings = ["eval_every=4", "save_every=2", "log_every=1", "freeze=stage5"]
    options = [
        *("train", "shards", "--device", "cpu", "--steps", 8, "--init", start),
        *(part for text in settings for part in ("--set", text)),
    ]
    machines = [begin(launcher(node, *options), tmp_path) for node in (0, 1)]
    run = Run(tmp_path / "runs/tiny-resnet18")
    wait_for(lambda: list(run.folder.glob("checkpoints/*2.pt")), machines[0])
    os.kill(children(machines[1].pid)[0], signal.SIGKILL)
    said = [machine.communicate(timeout=250)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tiny-resnet18"]
    assert "resumed at step" in (run.folder / "log.txt").read_text()
    events = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "step"] == list(range(1, 9))
    scored = [event["step"] for event in events if "miou" in event]
    assert scored[-1] == 8 and set(scored) == {4, 8}
    assert {path.name for path in run.folder.glob("*.safetensors")} == {
        "best.safetensors",
        "last.safetensors",
    }


def children(process):
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in listed.split()]


WATCH = """
import os, signal, sys, time
from psp.ranks import rank_share
from psp.train import distributed, heartbeat
from datetime import timedelta
heartbeat.BEAT, heartbeat.SILENT, heartbeat.REPORT = 0.1, 10, timedelta(seconds=1)
share = rank_share()
with distributed.joined_ranks(share, lambda text: print(text, flush=True)) as ranks:
    assert ranks.maximum(share.number) == 2
    if share.number == 2 and sys.argv[1] == "stops":
        os.kill(os.getpid(), signal.SIGSTOP)
    if share.first:
        time.sleep(3)  # as in a collective that waits for the other
        if sys.argv[1] == "stops":
            time.sleep(60)
print("left", flush=True)
"""


@pytest.mark.parametrize("how", ["stops", "leaves early"])
def test_a_rank_that_is_gone_ends_the_others_and_one_that_is_done_does_not(tmp_path, how):
    (tmp_path / "watch.py").write_text(WATCH)
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port())}
    ranks = [
        subprocess.Popen(
            [sys.executable, tmp_path / "watch.py", how],
            env={**ENV, **places, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = ranks[0].communicate(timeout=60)[0]
    finally:
        os.kill(ranks[1].pid, signal.SIGCONT)
        ranks[1].communicate(timeout=60)
    if how == "stops":
        assert ranks[0].returncode == 2
        assert "rank 1 has not answered" in said and "--resume" in said
    else:
        assert [rank.returncode for rank in ranks] == [0, 0] and said.split() == ["left"]
