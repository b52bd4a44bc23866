"""Tiny inputs, and what each command does when nothing disturbs it."""

import shutil

import pytest
from faults.commands import commands, make_inputs, outcome
from faults.victims import FULL


def pytest_collection_modifyitems(items):
    """All of them start processes: none is of the quick half."""
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory, warm):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder, warm)
    return folder


@pytest.fixture(scope="session")
def command(inputs, warm, tmp_path_factory):
    """command(name) is a command, with what it does undisturbed."""
    known = commands(inputs)

    def find(name):
        found = known[name]
        if not found.calls:
            folder = tmp_path_factory.mktemp(name)
            calls, seconds = warm.calls(*found.args, cwd=folder)
            found.undisturbed.update(outcome(folder))
            found.calls.extend(calls)
            found.seconds.append(seconds)
            shutil.rmtree(folder)
        return found

    return find


@pytest.fixture
def some():
    """some(items, few) is all items where the full counts are asked for, else a few of them."""

    def choose(items, few):
        items = list(items)
        if FULL or len(items) <= few:
            return items
        # Evenly from the middles of as many parts.
        return [items[(2 * k + 1) * len(items) // (2 * few)] for k in range(few)]

    return choose


@pytest.fixture
def place(tmp_path):
    """place(words...) makes a folder for one victim; all of them are removed."""

    def make(*words):
        folder = tmp_path / "-".join(map(str, words))
        folder.mkdir()
        return folder

    return make
