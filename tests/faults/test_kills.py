"""SIGKILL at every change of the file system, and at any moment.

PSP_TEST_FAULTS=full kills at each change, before and after it; otherwise at a few.
"""

import random
import re
import shutil
import signal
import time

import pytest
from faults.commands import (
    INTERVAL,
    difference,
    is_clear,
    logged_steps,
    newest_checkpoint,
    outcome,
)
from faults.victims import FULL

COMMANDS = ("train", "train-loader", "prepare-1", "prepare-4", "predict")


def go_on(warm, command, folder, where):
    """Let readers meet what a kill left, run the command again, and compare with an undisturbed."""
    for reader in command.readers:
        end = warm.run(*reader, cwd=folder)
        assert is_clear(end), f"{where}: {end}"
        shutil.rmtree(folder / "none", ignore_errors=True)
    done, kept = logged_steps(folder), newest_checkpoint(folder)
    end = warm.run(*command.again(folder), cwd=folder)
    assert end.code == 0, f"{where}: {end}"
    if command.name.startswith("train"):
        assert done - kept <= INTERVAL, f"{where}: {done} steps done, {kept} kept"
    assert not difference(command.undisturbed, outcome(folder)), (
        f"{where}: {difference(command.undisturbed, outcome(folder))}\n{end}"
    )
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_each_change_of_the_file_system(warm, command, place, some, name):
    chosen = command(name)
    # A worker opens its file once for each sample: all alike.
    numbers = [n for n, call in enumerate(chosen.calls, 1) if not re.match(r"open .*\d\.tmp", call)]
    hits = 0
    for number, before in some([(n, b) for n in numbers for b in (True, False)], 4):
        folder = place(number, before)
        end = warm.at(number, *chosen.args, cwd=folder, before=before)
        when = "before" if before else "after"
        hits += end.killed
        go_on(warm, chosen, folder, f"killed {when} call {number}, {chosen.calls[number - 1]}")
    print(f"{name}: {hits} kills hit it, at {len(numbers)} changes")
    assert hits


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("everything", [False, True], ids=["it", "with-its-workers"])
def test_killed_at_any_moment(warm, command, place, name, everything):
    chosen = command(name)
    rng = random.Random(f"{name} {everything}")
    wanted, hits, tries = 25 if FULL else 1, 0, 0
    while hits < wanted and tries < 3 * wanted:
        tries += 1
        folder = place(tries)
        running = warm.start(*chosen.args, cwd=folder)
        moment = rng.uniform(0, chosen.seconds[0])
        time.sleep(moment)
        running.signal(signal.SIGKILL, everything)
        hits += running.end().killed
        go_on(warm, chosen, folder, f"killed after {moment:.3f} s")
    print(f"{name}: {hits} of {tries} kills hit it")
    assert hits
