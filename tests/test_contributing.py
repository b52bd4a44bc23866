"""Every recipe of CONTRIBUTING.md, applied to a copy of the package and used.

A code block that begins with `# PATH` is a new file; a diff block that begins so is a change of
one, whose lines must be in the file exactly once.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.trees import noise, save_picture, small_card

import psp
from psp.data.cardfile import shipped

PACKAGE = Path(psp.__file__).parent
TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (Add [^\n]*)\n(.*?)(?=^### )", TEXT, flags=re.DOTALL | re.M))


def blocks(section):
    """Yield (kind, path, lines) for each block of a section that names a file."""
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.DOTALL | re.M):
        match = re.match(r"# (\S+/\S+)\n", text)
        if match:
            yield kind, match[1], text[match.end() :].splitlines()


def change(path, lines):
    """Replace the old lines of a diff by the new ones."""
    old = [line[1:] for line in lines if line[:1] != "+"]
    new = [line[1:] for line in lines if line[:1] != "-"]
    text = path.read_text(encoding="utf-8")
    assert text.count("\n".join(old) + "\n") == 1, (path, old)
    path.write_text(text.replace("\n".join(old) + "\n", "\n".join(new) + "\n"), encoding="utf-8")


@pytest.fixture
def changed(tmp_path):
    """changed(recipe) is a folder with a copy of psp to which that recipe was applied."""

    def apply(title):
        site = tmp_path / "site"
        shutil.copytree(PACKAGE, site / "psp", ignore=shutil.ignore_patterns("__pycache__"))
        cards = next(iter(shipped().values())).parent
        if not cards.is_relative_to(PACKAGE):
            shutil.copytree(cards, site / "datasets")
        found = list(blocks(RECIPES[title]))
        assert found
        for kind, name, lines in found:
            path = site / name
            if name.startswith("datasets/") and not (site / "datasets").exists():
                path = site / "psp" / name  # as in a wheel
            if kind == "diff":
                change(path, lines)
            else:
                assert not path.exists()
                path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return site

    return apply


@pytest.fixture
def place(journey, tmp_path):
    """A copy of what the journey made, to work in."""
    for name in ("raw", "shards", "run"):
        shutil.copytree(journey.folder / name, tmp_path / "place" / name)
    shutil.copy(journey.folder / "tiny.toml", tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def use(request, changed, place):
    """use(*arguments) runs the changed psp in that place; returns its output."""
    site = changed(request.node.callspec.params["title"])
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "psp", *map(str, arguments)],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def paint(folder, name, labels, values, image="", label=""):
    """Save a picture and its labels, made of blocks of some raw values."""
    rng = np.random.default_rng(len(name))
    save_picture(folder / f"{name}{image}.png", noise(rng, 48, 64))
    blocks = rng.choice(np.array(values, np.uint8), (6, 8)).repeat(8, 0).repeat(8, 1)
    save_picture(labels / f"{name}{label}.png", blocks)


def data_set(use, place):
    for split, count in (("train", 6), ("val", 2)):
        for number in range(count):
            images, masks = (place / "garden" / kind / split for kind in ("images", "masks"))
            paint(images, f"{split}{number}", masks, [0, 1, 2, 3])
    use("prepare", "garden", "garden")
    assert (place / "data/garden/manifest.json").is_file()


def layout(use, place):
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            folder = place / "mixed" / split
            paint(folder, f"{split}{number}", folder, range(9), "_rgb", "_mask")
    card = re.sub(r"\[folders\].*?(?=\[recipe\])", "", small_card(), flags=re.DOTALL)
    card = card.replace('"folders"', '"suffixes"').replace("images = 12", "images = 3")
    (place / "mine.toml").write_text(card.replace("images = 4", "images = 2"))
    manifest = json.loads(use("prepare", "mine.toml", "mixed", "--json"))
    assert manifest["splits"]["train"]["images"] == 3


def backbone(use, place):
    use("train", "shards", "-o", "tiny", "--backbone", "tinynet")
    use("predict", "raw/images/val", "-m", "tiny", "-o", "out")
    assert len(list((place / "out/labels").glob("*.png"))) == 4


def loss_term(use, place):
    use("train", "shards", "-o", "new", "--set", "brier=0.5")
    assert "brier" in (place / "new/metrics.jsonl").read_text()


def setting(use, place):
    use("train", "shards", "-o", "new", "--set", "nesterov=true")
    settings = json.loads((place / "new/config.json").read_text())["settings"]
    assert settings["nesterov"] is True
    plain, new = (
        [json.loads(line).get("loss") for line in (place / path).read_text().splitlines()]
        for path in ("run/metrics.jsonl", "new/metrics.jsonl")
    )
    assert plain != new


def score(use, place):
    assert "lowest IoU" in use("evaluate", "run")
    assert "lowest_iou" in use("evaluate", "run", "--json")


def output(use, place):
    use("predict", "raw/images/val", "-m", "run", "--write", "names", "-o", "out")
    files = list((place / "out/names").glob("*.txt"))
    assert len(files) == 4
    assert all(file.read_text().strip() for file in files)


def engine(use, place):
    photo = sorted((place / "raw/images/val").iterdir())[0]
    use("predict", photo, "-m", "run", "-o", "out", "--engine", "reference")  # as torch, or refused
    assert len(list((place / "out/labels").iterdir())) == 1
    assert "reference" in (place / "out/settings.json").read_text()


def importer(use, place):
    import torch

    from psp.model.weights import read_weights

    _, tensors = read_weights(place / "run/best.safetensors")
    state = {
        name.replace("backbone.", "encoder.", 1).replace("head.", "decoder.", 1): tensor
        for name, tensor in tensors.items()
        if not name.startswith("aux.")
    }
    torch.save(state, place / "toy.pth")
    use("import", "toy.pth", "toy.safetensors", "--card", "tiny.toml")
    for model, out in (("run", "one"), ("toy.safetensors", "two")):
        use("predict", "raw/images/val", "-m", model, "-o", out)
    for path in (place / "one/labels").iterdir():
        assert path.read_bytes() == (place / "two/labels" / path.name).read_bytes()


def labeling_format(use, place):
    lines = []
    for number in range(6):
        folder = place / "boxes"
        save_picture(folder / f"{number}.png", noise(np.random.default_rng(number), 48, 64))
        lines.append(f"{number}.png,car,{number},10,40,30")
    (place / "boxes/corners.csv").write_text("\n".join(lines))
    manifest = json.loads(use("prepare", "boxes", "--json"))
    assert sum(split["images"] for split in manifest["splits"].values()) == 6


USES = {
    "Add a labeling tool's format": labeling_format,
    "Add a data set": data_set,
    "Add a layout": layout,
    "Add a backbone": backbone,
    "Add a loss term": loss_term,
    "Add a setting": setting,
    "Add a score": score,
    "Add an output of predict": output,
    "Add an importer": importer,
    "Add an engine": engine,
}


def test_every_recipe_is_tried():
    assert RECIPES.keys() == USES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("title", USES, ids=lambda title: title.removeprefix("Add ").split()[-1])
def test_a_recipe_does_what_it_says(title, use, place):
    USES[title](use, place)
