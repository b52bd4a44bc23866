"""Draw label maps: overlays, legends, and sheets of examples."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Palette = Sequence[tuple[int, int, int]]
Picture = NDArray[np.uint8]  # (H, W, 3) RGB

MARGIN = 8  # pixels between the pictures of a sheet
INK, PAPER, FAINT = (30, 30, 30), (255, 255, 255), (150, 150, 150)


def colors(label: NDArray[np.uint8], palette: Palette) -> Picture:
    """Return class ids (H, W) in the palette's colors; pixels without a class (255) are white."""
    table = np.full((256, 3), 255, np.uint8)
    table[: len(palette)] = palette
    return table[label]


def overlay(
    image: Picture, label: NDArray[np.uint8], palette: Palette, strength: float = 0.55
) -> Picture:
    """Return the picture blended with the classes' colors, with dark lines between classes."""
    drawn = colors(label, palette)
    mixed = np.asarray(cv2.addWeighted(image, 1 - strength, drawn, strength, 0), np.uint8)
    edge = _borders(label)
    mixed[edge] = (0.35 * mixed[edge] + 0.5).astype(np.uint8)
    return mixed


def _borders(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the pixels whose right or lower neighbor is of another class."""
    edge = np.zeros(label.shape, bool)
    edge[:-1] |= label[:-1] != label[1:]
    edge[:, :-1] |= label[:, :-1] != label[:, 1:]
    return edge


def legend(
    names: Sequence[str],
    palette: Palette,
    width: int = 640,
    ids: Sequence[int] | None = None,
    note: str = "",
) -> Picture:
    """Return a legend of ids, names and colors, in columns, at least `width` pixels wide.

    `ids` are those of the names if they are not 0, 1, 2, …; `note` stands at the end.
    """
    font = _font(15)
    numbers = range(len(names)) if ids is None else ids
    texts = [f"{index}  {name}" for index, name in zip(numbers, names, strict=True)]
    texts += [note] if note else []
    longest = max(map(font.getlength, texts))
    cell, line, margin = int(longest) + 56, 26, 10
    columns = max(1, (max(width, cell + 2 * margin) - 2 * margin) // cell)
    rows = -(-len(texts) // columns)
    width = max(width, cell + 2 * margin)
    sheet = Image.new("RGB", (width, rows * line + 2 * margin), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, text in enumerate(texts):
        column, row = divmod(index, rows)
        x, y = margin + column * cell, margin + row * line
        if index < len(names):
            draw.rectangle((x, y + 3, x + 26, y + 21), fill=palette[index], outline=FAINT)
        draw.text((x + 36, y + line // 2), text, INK, font, anchor="lm")
    return np.asarray(sheet)


def sheet(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str],
    height: int,
    key: Picture,
    captions: Sequence[str] = (),
) -> Picture:
    """Return rows of pictures, each `height` pixels high, under `titles`, with a legend below.

    With `captions`, a line of text stands under each row.
    """
    gap, head = 26 if captions else 8, 30
    scaled = [[_to_height(picture, height) for picture in row] for row in rows]
    widths = [  # the last row may have fewer pictures
        max(row[i].width for row in scaled if i < len(row)) for i in range(len(titles))
    ]
    width = max(sum(widths) + MARGIN * (len(widths) + 1), key.shape[1])
    total = head + len(rows) * (height + gap) + key.shape[0]
    page = Image.new("RGB", (width, total), PAPER)
    draw = ImageDraw.Draw(page)
    for index, row in enumerate(scaled):
        x = MARGIN
        for picture, column in zip(row, widths, strict=False):
            page.paste(picture, (x, head + index * (height + gap)))
            x += column + MARGIN
    for index, text in enumerate(captions):
        y = head + index * (height + gap) + height + gap // 2
        draw.text((MARGIN, y), text, INK, _font(13), anchor="lm")
    x = MARGIN
    for title, column in zip(titles, widths, strict=True):
        draw.text((x, head // 2), title, INK, _font(16), anchor="lm")
        x += column + MARGIN
    page.paste(Image.fromarray(key), (0, total - key.shape[0]))
    return np.asarray(page)


def _to_height(picture: Picture, height: int) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize(
        (max(1, round(image.width * height / image.height)), height), Image.Resampling.BICUBIC
    )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
