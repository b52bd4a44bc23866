"""The Dockerfile fits the checkout, and the page's commands are psp's. Nothing here runs Docker."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from psp.cli import app

CHECKOUT = Path(__file__).parents[1]
DOCKERFILE = CHECKOUT / "Dockerfile"
PAGE = CHECKOUT / "docs/production.md"
LINES = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8")).splitlines()


def instructions(name):
    """Return the arguments of an instruction's lines; the image runs what the last one says."""
    return [line.split(maxsplit=1)[1] for line in LINES if line.split(maxsplit=1)[:1] == [name]]


def test_what_is_copied_is_there_and_is_not_ignored():
    ignored = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [source for line in instructions("COPY") for source in line.split()[:-1]]
    for source in copied:
        assert (CHECKOUT / source).exists() and f"!{source}" in ignored, source
    # What the package is built from: its code and cards, and what pyproject.toml names.
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'^(?:readme = |license-files = \[)"([^"]+)"', project, re.MULTILINE)
    assert {"pyproject.toml", "setup.py", "psp", "datasets", *named} == set(copied)


def test_extras_are_those_of_the_package():
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    (extras,) = re.findall(r"^ARG EXTRAS=(.*)$", "\n".join(LINES), re.MULTILINE)
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_it_runs_psp_and_not_as_root():
    assert instructions("ENTRYPOINT") == ['["psp"]']
    user = instructions("USER")[-1]
    assert user not in ("root", "0") and f"useradd --uid 1000 --no-create-home {user}" in " ".join(
        instructions("RUN")
    )
    assert LINES.index(f"USER {user}") > max(
        index for index, line in enumerate(LINES) if line.startswith(("RUN", "COPY"))
    )


def test_all_that_is_written_is_below_the_mounted_folder():
    (place,) = instructions("WORKDIR")
    folders = re.findall(r"(HOME|PSP_CACHE|TORCH_HOME|MPLCONFIGDIR)=(\S+)", " ".join(LINES))
    assert {name for name, _ in folders} == {"HOME", "PSP_CACHE", "TORCH_HOME", "MPLCONFIGDIR"}
    assert all(path.startswith(f"{place}/") for _, path in folders)
    table = PAGE.read_text(encoding="utf-8")
    assert f"| `{place}`, mounted |" in table


RUNS = re.findall(r"^ {4}docker run (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
BUILDS = re.findall(r"^ {4}docker build (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("line", RUNS)
def test_a_command_in_the_container_is_one_of_psp(line):
    words = shlex.split(line)
    words = words[words.index("psp") + 1 :]
    command = get_command(app).commands[words[0]]
    known = {name for option in command.params for name in option.opts}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("line", BUILDS)
def test_build_arguments_are_declared(line):
    declared = {argument.partition("=")[0] for argument in instructions("ARG")}
    assert set(re.findall(r"--build-arg (\w+)=", line)) <= declared
    assert line.endswith(" .")
