"""Drawn pictures and labels of 150 classes, with a card: what the benchmarks run on.

Of the size of ADE20K's, in numbers of pixels and of bytes.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CARD = """
name = "drawn"
title = "Drawn pairs"
layout = "folders"
classes = [
{rows}
]
ignore_from = [0]
[splits]
{splits}
[folders]
images = "images/{{split}}"
masks = "masks/{{split}}"
"""


def draw(folder: Path, splits: dict[str, int], height: int = 512, width: int = 683) -> Path:
    """Write so many JPEGs and label PNGs a split, and a card for them; return the card."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, height // 12 + 2, width // 12 + 2, 3), dtype=np.uint8)
    pictures = [cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse]
    cells = rng.integers(0, 151, (8, 9, 12), dtype=np.uint8)
    labels = [cv2.resize(c, (width, height), interpolation=cv2.INTER_NEAREST) for c in cells]
    for label in labels:  # outlines that are no rectangles
        for _ in range(12):
            center = rng.integers(0, width), rng.integers(0, height)
            size = int(rng.integers(2, max(3, width // 6)))
            cv2.circle(label, center, size, int(rng.integers(0, 151)), -1)
    for split, count in splits.items():
        for part in ("images", "masks"):
            (folder / part / split).mkdir(parents=True)
        for number in range(count):
            name, kind = f"{number:06d}", number % len(pictures)
            image = np.roll(pictures[kind], number, axis=1)
            Image.fromarray(image).save(folder / f"images/{split}/{name}.jpg", quality=90)
            label = np.roll(labels[kind], number, axis=1)
            Image.fromarray(label).save(folder / f"masks/{split}/{name}.png")
    rows = "\n".join(
        f'  {{ name = "c{i}", color = "#{i:06x}", from = [{i}] }},' for i in range(1, 151)
    )
    card = folder / "drawn.toml"
    card.write_text(CARD.format(rows=rows, splits="\n".join(f"{name} = {{}}" for name in splits)))
    return card
