"""The suite tests the installed package, and the README and docs match the code."""

import importlib
import itertools
import json
import os
import re
import shlex
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, requires
from importlib.resources import files
from pathlib import Path

import pytest

import psp
from psp.data.cardfile import shipped

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_no_module_comes_from_the_checkout():
    editable = '"editable": true' in (distribution("pspnet").read_text("direct_url.json") or "")
    if editable and not os.environ.get("PSP_TEST_INSTALLED"):
        pytest.skip("this is an editable install")
    for name in ("psp.cli", "psp.train.loop"):
        importlib.import_module(name)
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "psp" and module.__file__:
            path = Path(module.__file__)
            assert "site-packages" in path.parts, f"{name} comes from {path}"


def test_the_parts_of_a_package_that_pip_installed_are_found():
    """Where tests/plugin is installed, as in .ci/run; the fixture `plugin` imitates that."""
    from psp.plugins import known_names, load_named

    text = (CHECKOUT / "tests/plugin/pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    try:
        distribution(project["name"])
    except PackageNotFoundError:
        pytest.skip("tests/plugin is not installed")
    for group, points in project["entry-points"].items():
        for name in points:
            assert name in known_names({}, group)
            assert load_named({}, group, name, name) is not None


def test_the_cards_are_in_the_package():
    names = {path.stem for path in (CHECKOUT / "datasets").glob("*.toml")}
    assert set(shipped()) == names
    assert not list((CHECKOUT / "datasets").glob("*.py"))


def test_the_templates_of_pages_are_in_the_package():
    shipped_templates = {path.name for path in files("psp.pages").joinpath("templates").iterdir()}
    checkout = {path.name for path in (CHECKOUT / "psp/pages/templates").iterdir()}
    assert shipped_templates == checkout


def test_cards_are_found_in_a_plain_checkout_too(monkeypatch, tmp_path):
    """In a wheel they are inside the package, in a checkout beside it."""
    import psp.data.cardfile

    (tmp_path / "psp").mkdir()
    (tmp_path / "datasets").symlink_to(CHECKOUT / "datasets")
    monkeypatch.setattr(psp.data.cardfile, "__file__", str(tmp_path / "psp/data/cardfile.py"))
    assert "voc2012" in shipped()
    assert all(path.parent == tmp_path / "datasets" for path in shipped().values())


PAGES = [README_FILE := CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def commands_of(page):
    """Yield every `psp …` line of a page's code blocks, without prompt and comment, as words.

    Blocks are fenced or indented, or a word in a sentence; a comment is behind # or two blanks.
    """
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4}((?:torchrun .* -m )?psp .*)$", text, flags=re.MULTILINE)
    inline = re.findall(r"(?<!`)`((?:torchrun .* -m )?psp [^`…\n]*)`", text)
    for line in [*"\n".join(blocks).splitlines(), *indented, *inline]:
        match = re.match(r"(?:\$ )?(?:torchrun .* -m )?(psp .*?)(?:\s{2,}\S.*)?$", line)
        if match and "usage" not in match.group(1):
            yield shlex.split(match.group(1), comments=True)[1:]


def readme_commands():
    return commands_of(README_FILE)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_and_option_in_the_readme_and_docs_exists(page):
    from typer.main import get_command

    from psp.cli import app

    commands = list(commands_of(page))
    if page == README_FILE:
        named = {words[0] for words in commands}
        assert {"prepare", "train", "evaluate", "predict", "demo", "cards"} <= named
    for words in commands:
        command = get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        known = {name for option in command.params for name in option.opts + option.secondary_opts}
        known |= {"--help", "-h"}
        for word in words:
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0] in known, (command.name, word)
        assert command.name != "psp" or not words or words[0].startswith("-"), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_and_card_that_a_page_names_exists(page):
    from psp.settings.config import SETTINGS

    for words in commands_of(page):
        for before, word in itertools.pairwise(words):
            if before == "--set":
                assert word.partition("=")[0] in SETTINGS, word
        if words[0] == "prepare" and len(words) > 1 and re.fullmatch(r"[a-z0-9]+", words[1]):
            assert words[1] in shipped() or words[1] in {"photos", "masks"}, words


def anchors(page):
    """The headings of a page as GitHub makes them the ends of links."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def test_every_readme_card_exists():
    for words in readme_commands():
        if words[0] == "prepare" and not words[1].endswith((".toml", "/")):
            assert words[1] in shipped()


def test_the_readme_has_pictures_of_a_moderate_size():
    pictures = [CHECKOUT / t for t in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)]
    assert pictures
    assert all(path.stat().st_size < 200_000 for path in pictures)


def test_the_readme_has_the_two_setup_commands():
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert lines[0].endswith("psp demo")
    assert lines[1].endswith("/pytest -n auto")


def test_the_version_is_the_changelogs():
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{psp.__version__}]" in text
    assert distribution("pspnet").version == psp.__version__


def test_the_citation_is_of_this_version():
    text = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {psp.__version__}\n" in text
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    (released,) = re.findall(r"^date-released: (.*)$", text, flags=re.MULTILINE)
    assert f"## [{psp.__version__}] - {released}" in changelog


def test_the_public_checks_use_the_oldest_torch_and_every_python():
    workflow = (CHECKOUT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["test"]
    bounds = dict(requirement.split(">=") for requirement in needed)
    for library in ("torch", "torchvision"):
        assert f"{library}=={bounds[library]}.*" in workflow
    versions = [c.rpartition(" :: ")[2] for c in project["classifiers"] if "Python :: 3." in c]
    assert project["requires-python"] == f">={versions[0]}"
    assert f"python: [{', '.join(map(json.dumps, versions))}]" in workflow
    assert ".ci/run" in workflow


def test_dependencies_have_lower_bounds_only():
    for requirement in requires("pspnet") or []:
        assert ">=" in requirement
        assert "==" not in requirement.split(";")[0] and "<" not in requirement.split(";")[0]


def test_the_settings_table_in_the_docs_is_the_codes():
    from psp.settings.config import SETTINGS, train_config
    from psp.settings.section import show

    text = (CHECKOUT / "docs/training.md").read_text(encoding="utf-8")
    defaults = train_config().flat()
    for name, (_, setting) in SETTINGS.items():
        assert f"| `{name}` | {show(defaults[name])} | {setting.help} |" in text
