"""Draw label maps: overlays, legends, and sheets of examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from psp.errors import PspError

Palette = Sequence[tuple[int, int, int]]
Picture = NDArray[np.uint8]  # (H, W, 3) RGB

MARGIN = 8  # pixels between the pictures of a sheet
INK, PAPER, FAINT = (30, 30, 30), (255, 255, 255), (150, 150, 150)


def colors(label: NDArray[np.uint8], palette: Palette) -> Picture:
    """Return class ids (H, W) in the palette's colors; pixels without a class (255) are white."""
    table = np.full((256, 3), 255, np.uint8)
    table[: len(palette)] = palette
    return table[label]


@dataclass(frozen=True)
class OverlayStyle:
    """How classes are drawn over a photo: by `name`, a key of STYLES, and at which strength.

    `strength` is how much the colors cover, 0 to 1; None is the style's own. Raises PspError for a
    style that is not known, and a strength out of range.
    """

    name: str = "tint"
    strength: float | None = None

    def __post_init__(self) -> None:
        if self.name not in STYLES:
            raise PspError(f"--overlay-style {self.name}: must be one of {', '.join(STYLES)}.")
        if self.strength is None:
            object.__setattr__(self, "strength", STYLES[self.name])
        elif not 0 <= self.strength <= 1:
            raise PspError(
                f"--overlay-strength {self.strength:g}: from 0, the photo alone, to 1, the colors."
            )

    @property
    def is_default(self) -> bool:
        """Whether it is what is drawn if nothing is asked for."""
        return self == OverlayStyle()


# The styles, and their own strengths.
STYLES = {"tint": 0.5, "outline": 1.0, "side-by-side": 0.5}


def draw(
    image: Picture, label: NDArray[np.uint8], palette: Palette, style: OverlayStyle
) -> Picture:
    """Return a photo with its classes in a style: tinted, outlined, or the photo beside the tint.

    All are of the photo's size (H, W, 3) but the last, which is (H, 2 W, 3).
    """
    assert style.strength is not None
    if style.name == "outline":
        return outline(image, label, palette, style.strength)
    tinted = overlay(image, label, palette, style.strength)
    return tinted if style.name == "tint" else np.concatenate([image, tinted], axis=1)


def overlay(
    image: Picture, label: NDArray[np.uint8], palette: Palette, strength: float = STYLES["tint"]
) -> Picture:
    """Return the picture tinted with the classes' colors, with lines in their colors between them.

    Up to half the strength the picture stays as bright as it is: a color lends it hue and
    saturation, whatever its own brightness, and only evens out its contrast a little, so that it is
    seen on black and on white, and on a photo that is dark or bright all over. Beyond that the
    colors themselves appear; 1 shows them alone.
    """
    kept = min(1.0, 2 * (1 - strength))  # how much of the brightness is that of the picture
    table = np.full((256, 3), 255, np.float32)
    table[: len(palette)] = palette
    # (1 - strength) picture + strength color + kept (wanted brightness - brightness of that sum),
    # as three tables of whole numbers: of a channel's value, the class, and the brightness.
    values = np.arange(256, dtype=np.float32)
    of_channel = np.round((1 - strength) * values).astype(np.int16)
    tints = strength * (table - kept * (table @ _LUMA)[:, None])
    of_class = np.round(tints).astype(np.int16)[None]  # (1, 256, 3)
    even = strength / 2
    mean = float(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    mean = min(max(mean, _DARK), 255 - _DARK)  # colors are to be seen on a photo of the night, too
    wanted = (1 - even) * values + even * mean
    of_luma = np.round(kept * (wanted - (1 - strength) * values)).astype(np.int16)
    result = np.empty_like(image)
    rows = max(1, _BAND // max(1, image.shape[1]))
    for top in range(0, len(image), rows):
        part = slice(top, top + rows)
        luma = cv2.LUT(cv2.cvtColor(image[part], cv2.COLOR_RGB2GRAY), of_luma)
        mixed = cv2.add(cv2.LUT(image[part], of_channel), cv2.merge([luma] * 3))
        ids = cv2.merge([np.ascontiguousarray(label[part])] * 3)
        result[part] = cv2.add(mixed, cv2.LUT(ids, of_class), dtype=cv2.CV_8U)
    return _paint(result, _borders(label), label, palette, min(1.0, 2 * strength))


_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # as OpenCV weighs red, green and blue
_DARK = 96.0  # gray level: a darker photo is brightened a little
_BAND = 1 << 20  # pixels that are drawn at a time, which bounds the memory


def outline(
    image: Picture, label: NDArray[np.uint8], palette: Palette, strength: float = STYLES["outline"]
) -> Picture:
    """Return the picture with each class outlined in its color; nothing else is changed."""
    width = max(1, round(max(label.shape) / 500))
    edge = _borders(label)
    edge[1:] |= label[1:] != label[:-1]  # and the other side of each border
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    if width > 1:
        kernel = np.ones((2 * width - 1, 2 * width - 1), np.uint8)
        edge = cv2.dilate(edge.view(np.uint8), kernel).view(bool)
    return _paint(image.copy(), edge, label, palette, strength)


def _paint(
    image: Picture,
    where: NDArray[np.bool_],
    label: NDArray[np.uint8],
    palette: Palette,
    strength: float,
) -> Picture:
    """Mix the classes' colors into some pixels of a picture, which is changed and returned."""
    drawn = strength * colors(label[where], palette) + (1 - strength) * image[where]
    image[where] = np.round(drawn).astype(np.uint8)
    return image


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
