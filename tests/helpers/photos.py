"""A folder of photos of many kinds, and what psp predict made of it."""

import json

import numpy as np
from PIL import Image


def save(path, size=(50, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


EXPECTED = {  # the output names of the fixture `photos`: width, height
    "a.jpg": (50, 40),
    "a.png": (60, 41),
    "b.c": (1, 1),
    "sub/a": (130, 97),
    "Straße 7": (45, 45),
    "gray": (33, 44),
    "alpha": (33, 44),
    "turned": (20, 60),
}


def records(out, name="predictions.jsonl"):
    lines = (out / name).read_text(encoding="utf-8").splitlines()
    return {record["name"]: record for record in map(json.loads, lines)}


def tree(out):
    """Every file's bytes, but for the seconds in the records."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = str(path.relative_to(out))
        if path.suffix == ".jsonl":
            found[name] = [{**r, "seconds": 0} for r in records(out, name).values()]
        else:
            found[name] = path.read_bytes()
    return found
