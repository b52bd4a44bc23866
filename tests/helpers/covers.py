"""What a region covers, laid on a picture; and a ragged mask that is like none of its mirrors."""

import numpy as np


def on_picture(region, height, width):
    """Return what a region covers as a mask of the whole picture."""
    top, left, mask = region.cover(height, width)
    assert mask.dtype == bool
    assert top >= 0 and left >= 0 and top + mask.shape[0] <= height
    assert left + mask.shape[1] <= width
    picture = np.zeros((height, width), bool)
    picture[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return picture


def column_counts(mask):
    """Return COCO's run lengths, counted pixel by pixel down the columns."""
    counts, drawn = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != drawn:
            counts.append(0)
            drawn = pixel
        counts[-1] += 1
    return counts


def packed(counts):
    """Return run lengths as COCO's packed text, digit by digit in base 32."""
    text = ""
    for position, count in enumerate(counts):
        rest = count - counts[position - 2] if position > 2 else count
        digits = [rest % 32]
        while not -16 <= rest < 16:
            rest //= 32
            digits.append(rest % 32)
        text += "".join(chr(48 + 32 + digit) for digit in digits[:-1]) + chr(48 + digits[-1])
    return text


def brush_bytes(mask, sizes=(3, 4, 8, 16), literals=False):
    """Return a mask as Label Studio's brush writes it: one text of 0 and 1, then cut into bytes."""
    values = [255 * pixel for pixel in mask.ravel().tolist() for _ in range(4)]
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    at = 0
    while at < len(values):
        length = 1
        while at + length < len(values) and values[at + length] == values[at]:
            length += 1
        if literals:
            length = min(5, len(values) - at)
        length = min(length, 1 << max(sizes))
        choice = min((s, i) for i, s in enumerate(sizes) if length <= 1 << s)[1]
        bits += f"{0 if literals else 1}{choice:02b}{length - 1:0{sizes[choice]}b}"
        bits += "".join(
            f"{value:08b}" for value in values[at : at + length if literals else at + 1]
        )
        at += length
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
