"""The commands that victims run, on tiny inputs, and what is right afterwards."""

import json
import re
from dataclasses import dataclass, field

import numpy as np
from helpers.trees import small_card
from PIL import Image

INTERVAL = 2  # steps between two checkpoints
STEPS = 6
SECONDS = ("seconds", "images_per_second", "seconds_left")


@dataclass(frozen=True)
class Command:
    """A command, the folder it writes, and what may meet that folder while it is not finished."""

    name: str
    args: tuple[str, ...]
    out: str
    readers: tuple[tuple[str, ...], ...] = ()
    undisturbed: dict = field(default_factory=dict)  # what `outcome` finds after one
    calls: list = field(default_factory=list)  # its changes of the file system
    seconds: list = field(default_factory=list)  # what it takes

    def again(self, folder):
        """Return what goes on with it: the same command, for a training with --resume."""
        begun = self.name.startswith("train") and (folder / self.out / "config.json").exists()
        return (*self.args, "--resume") if begun else self.args


def make_inputs(folder, warm):
    """Write two small data sets, photos, and shards and a run of the first."""
    from psp.data.scenes import SceneSpec, paint_set

    for _ in paint_set(folder / "raw", {"train": 12, "val": 4}, spec=SceneSpec(48, 64)):
        pass
    card = small_card().replace('backbone = "resnet18"', 'backbone = "patches"')
    card = card.replace("steps = 6", f"steps = {STEPS}").replace("log_every = 2", "log_every = 1")
    card = card.replace("save_every = 3", f"save_every = {INTERVAL}")
    (folder / "tiny.toml").write_text(card)
    many = {"train": 60, "val": 20}  # enough for four worker processes
    for _ in paint_set(folder / "many", many, spec=SceneSpec(24, 32)):
        pass
    card = card.replace("images = 12", "images = 60").replace("images = 4 ", "images = 20 ")
    (folder / "many.toml").write_text(card)
    photos = folder / "photos"
    photos.mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50 + number, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    warm.run("prepare", "tiny.toml", "raw", "-o", "shards", cwd=folder, check=0)
    warm.run("train", "shards", "-o", "run", cwd=folder, check=0)


def commands(inputs):
    """Return the commands by their names."""
    shards, many = inputs / "shards", inputs / "many.toml"
    prepare = ("prepare", many, inputs / "many", "-o", "data", "--shard-mb", "0.03")
    look = (("inspect", "data"), ("verify", "data"))
    model = (
        ("inspect", "run"),
        ("evaluate", "run"),
        ("predict", inputs / "photos/0.png", "-m", "run", "-o", "none"),
    )
    made = [
        Command("train", ("train", shards, "-o", "run", "-q"), "run", model),
        Command("train-loader", ("train", shards, "-o", "run", "--workers", 1), "run", model),
        Command("prepare-1", (*prepare, "--workers", 1), "data", look),
        Command("prepare-4", (*prepare, "--workers", 4), "data", look),
        Command(
            "predict",
            ("predict", inputs / "photos", "-m", inputs / "run", "-o", "labels"),
            "labels",
            (("predict", inputs / "photos/0.png", "-m", inputs / "run", "-o", "labels"),),
        ),
    ]
    return {
        made.name: Command(
            made.name,
            tuple(map(str, made.args)),
            made.out,
            tuple(tuple(map(str, reader)) for reader in made.readers),
        )
        for made in made
    }


def outcome(folder):
    """Return all that is in a folder: names, and contents but for times and the command."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "evaluations" in path.parts or path.name == "report.html":  # of the readers
            continue
        found[name] = _content(path) if path.is_file() else "a folder"
    return found


def _content(path):
    if path.suffix == ".jsonl":
        records = map(json.loads, path.read_text().splitlines())
        return [{k: v for k, v in record.items() if k not in SECONDS} for record in records]
    if path.suffix == ".pt":
        import torch

        return _plain(torch.load(path, weights_only=True))
    if path.name == "config.json":
        return {**json.loads(path.read_text()), "command": ""}
    if path.name == "index.html":  # which links to the photos, from wherever it is
        return re.sub(r"(\.\./)+", "../", path.read_text())
    return "a log" if path.name == "log.txt" else path.read_bytes()


def _plain(value):
    """Return a checkpoint's contents: its bytes also depend on which equal texts are one object."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return (str(value.dtype), value.numpy().tobytes()) if hasattr(value, "numpy") else value


def difference(one, other):
    """Say how two outcomes differ; "" where they do not."""
    said = [f"{name} is missing" for name in one if name not in other]
    said += [f"{name} is left over" for name in other if name not in one]
    said += [f"{name} differs" for name in one if name in other and one[name] != other[name]]
    return ", ".join(said)


def logged_steps(folder):
    """Return how many steps a run has logged: it had done as many."""
    path = folder / "run/metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return max((line["step"] for line in whole if line["event"] == "step"), default=0)


def newest_checkpoint(folder):
    """Return the step of a run's newest checkpoint, 0 before the first."""
    return max((int(p.stem) for p in (folder / "run/checkpoints").glob("*.pt")), default=0)


def is_clear(end):
    """Whether a command did its work, or said in one line what is in its way."""
    if "Traceback" in end.err + end.out:
        return False
    if end.code in (0, 3):
        return True
    errors = [line for line in end.lines if line.startswith("error: ")]
    return end.code == 2 and len(errors) == 1 and end.lines[-1] == errors[0]
