"""SIGTERM, SIGHUP and Ctrl-C, once and twice, and two processes at once."""

import random
import shutil
import signal
import time

import pytest
from faults.commands import STEPS, difference, is_clear, outcome
from faults.victims import FULL

SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGTERM+SIGTERM", "SIGINT+SIGINT", "SIGHUP+SIGINT")
COMMANDS = ("train", "train-loader", "prepare-1", "prepare-4", "predict")


def stopped_well(end, names):
    """Whether a command that got signals was done before, or ended as one of them ends it."""
    numbers = [getattr(signal, name) for name in names]
    expected = {0, *(128 + number for number in numbers), *(-number for number in numbers)}
    said = end.err + end.out
    if names.count("SIGINT") == 2 and "multiprocessing/forkserver.py" in said:
        # The second one does not wait for workers that are starting: Python's are not silent.
        said = said.partition("multiprocessing/forkserver.py")[0].rpartition("Traceback")[0]
    return end.code in expected and "Traceback" not in said


def go_on(warm, command, folder, where):
    """Run the command again, and compare with one that nothing stopped.

    A training that is stopped writes a checkpoint there, which takes the place of an older one.
    """
    end = warm.run(*command.again(folder), cwd=folder)
    assert end.code == 0, f"{where}: {end}"
    last = f"run/checkpoints/{STEPS:08d}.pt"
    one, other = (
        {name: found[name] for name in found if name == last or not name.endswith(".pt")}
        for found in (command.undisturbed, outcome(folder))
    )
    differs = difference(one, other)
    assert not differs, f"{where}: {differs}\n{end}"
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_changes_of_the_file_system(warm, command, place, some, name):
    chosen = command(name)
    rng = random.Random(name)
    cases = [(number, rng.choice(SIGNALS)) for number in range(1, len(chosen.calls) + 1)]
    for number, names in some(cases, 3):
        folder = place(number)
        end = warm.at(number, *chosen.args, cwd=folder, act=f"signal:{names}")
        where = f"{names} at call {number}, {chosen.calls[number - 1]}"
        # A worker that gets it alone ends, and the command says so.
        assert stopped_well(end, names.split("+")) or is_clear(end), f"{where}: {end}"
        go_on(warm, chosen, folder, where)


@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_any_moment(warm, command, place, name):
    """To all processes, as a terminal sends them; the second one a little later."""
    chosen = command(name)
    rng = random.Random(f"any {name}")
    for number in range(30 if FULL else 1):
        folder, names = place("any", number), rng.choice(SIGNALS).split("+")
        running = warm.start(*chosen.args, cwd=folder)
        moments = sorted(rng.uniform(0.05, chosen.seconds[0]) for _ in names)
        begin = time.monotonic()
        for kind, moment in zip(names, moments, strict=True):
            time.sleep(max(0, begin + moment - time.monotonic()))
            running.signal(getattr(signal, kind), everything=True)
        end = running.end()
        where = f"{names} after {moments} s"
        assert stopped_well(end, names), f"{where}: {end}"
        go_on(warm, chosen, folder, where)


@pytest.mark.parametrize("name", COMMANDS)
def test_two_at_once(warm, command, place, name):
    """One does the work. The other is refused, or has nothing to do."""
    chosen = command(name)
    for number, delay in enumerate([0, 0.05, 0.2, 0.4] if FULL else [0]):
        folder = place("two", number)
        both = []
        for _ in range(2):
            both.append(warm.start(*chosen.args, cwd=folder))
            time.sleep(delay)
        ends = [running.end() for running in both]
        said = "".join(map(str, ends))
        assert all(map(is_clear, ends)), said
        assert min(end.code for end in ends) == 0, said
        assert not difference(chosen.undisturbed, outcome(folder)), said


def test_readers_beside_a_writer(warm, command, place):
    """Those that come while it works get one line, or what they asked for."""
    for name in ("train", "prepare-1", "predict"):
        chosen, folder = command(name), place("beside", name)
        running = warm.start(*chosen.args, cwd=folder)
        beside = [warm.start(*args, cwd=folder) for args in chosen.readers for _ in range(2)]
        for reader in beside:
            end = reader.end()
            assert is_clear(end), str(end)
        end = running.end()
        assert is_clear(end), str(end)
        assert end.code == 0 or name == "predict", str(end)


def test_two_that_continue_the_same_run(warm, command, place):
    chosen, folder = command("train"), place("resume")
    warm.at(len(chosen.calls) // 2, *chosen.args, cwd=folder, check=-signal.SIGKILL)
    both = [warm.start(*chosen.args, "--resume", cwd=folder) for _ in range(2)]
    ends = [running.end() for running in both]
    said = "".join(map(str, ends))
    assert all(map(is_clear, ends)) and min(end.code for end in ends) == 0, said
    assert not difference(chosen.undisturbed, outcome(folder)), said
