"""Builders of miniature official trees, and the installed command as a function."""

import os
import subprocess
import sys

import numpy as np
from PIL import Image

VOC_VOID = 255


def save_picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def save_voc_mask(path, ids):
    """A mask as the VOC archive has them: mode P with a palette, written by Pillow alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.frombytes("P", (ids.shape[1], ids.shape[0]), ids.astype(np.uint8).tobytes())
    picture.putpalette([(37 * i + 11 * c) % 256 for i in range(256) for c in range(3)])
    picture.save(path)


def noise(rng, height, width):
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]


class Double:
    """Work for processes, which import it from here: doubles, and ends in two ways."""

    def __call__(self, item):
        from psp.errors import PspError

        if item == 13:
            raise PspError("thirteen")
        if item == 17:
            os._exit(1)
        return 2 * item


SMALL_CARD = """
name = "tiny"
title = "Nine classes of painted scenes"
layout = "folders"
classes = [
{classes}
]
ignore_from = [255]
[splits]
train = {{ images = 12 }}
val = {{ images = 4 }}
[folders]
images = "images/{{split}}"
masks = "labels/{{split}}"
[recipe]
backbone = "resnet18"
init = "none"
crop = 41
batch = 4
steps = 6
lr = 0.003
loss_stride = 1
eval_every = 3
save_every = 3
log_every = 2
workers = 0
pictures = false
"""


def small_card():
    """A card for few scenes: written as a user writes one."""
    names = ["sky", "water", "road", "wall", "floor", "boat", "car", "building", "cabinet"]
    rows = [
        f'  {{ name = "{name}", color = "#{30 + 20 * i:02x}{250 - 20 * i:02x}40", from = [{i}] }},'
        for i, name in enumerate(names)
    ]
    return SMALL_CARD.format(classes="\n".join(rows))


def run_psp(*arguments, cwd, check=None, env=None):
    """Run the installed command as a user does; return (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "psp", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "120", **(env or {})},
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


_TOWN = (("grass", "#010203"), ("path", "#a10203"), ("tree", "#01b203"))


def town_card(classes=3, train=0.5):
    """A card of photos/ and masks/ with values from 0 up; what does not train validates."""
    lines = "".join(
        f'  {{ name = "{name}", color = "{color}", from = [{value}] }},\n'
        for value, (name, color) in enumerate(_TOWN[:classes])
    )
    val = f"val = {{ fraction = {1 - train} }}\n" if train < 1 else ""
    return (
        f'name = "town"\ntitle = "Town"\nlayout = "folders"\nclasses = [\n{lines}]\n'
        '[folders]\nimages = "photos"\nmasks = "masks"\n'
        f"[splits]\ntrain = {{ fraction = {train} }}\n{val}"
    )
