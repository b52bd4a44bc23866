"""The choices that run_mmseg_training.py gives mmsegmentation, and test_mmseg_training.py psp."""

import numpy as np

# Brightness, contrast, whether it comes first, saturation, hue; None where a step is not done.
DISTORTIONS = {
    "none": (None, None, False, None, None),
    "darker": (-31.7, None, False, None, None),
    "brighter": (17.3, None, True, None, None),
    "contrast": (None, 0.53, True, None, None),
    "saturation": (None, None, False, 1.47, None),
    "hue": (None, None, False, None, -18),
    "all-first": (12.9, 1.31, True, 0.61, 17),
    "all-last": (-8.2, 1.44, False, 1.18, -7),
}
CROP, LIMIT = 25, 0.75
# By label: the places that are drawn (top, left), at most one and ten more.
PLACES = {
    "halves": [(0, 0), (3, 2), (10, 12), (11, 25)],
    "one": [(n, 2 * n) for n in range(11)],
    "void": [(0, 0), (5, 4), (9, 9), *[(1, n) for n in range(8)]],
}
# Rate, floor, power, steps, and the steps whose rates are kept.
SCHEDULES = {
    "80k": (0.01, 1e-4, 0.9, 80000, (0, 1, 999, 40000, 79990, 79999)),
    "context": (0.004, 1e-4, 0.9, 40000, (0, 7, 20000, 39990, 39999)),
    "short": (0.01, 0.0, 1.0, 50, (0, 1, 25, 48, 49)),
}


def picture():
    """A picture with all hues and grays, RGB uint8 (24, 40, 3)."""
    noise = np.random.default_rng(3).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    noise[:4] = np.arange(40, dtype=np.uint8)[None, :, None] * 6
    noise[4, :, 0], noise[4, :, 1:] = 255, 0
    return noise


def label(name):
    """A label map, uint8 (48, 70), 255 void."""
    seg = np.zeros((48, 70), np.uint8)
    if name == "halves":  # the second class begins at column 32
        seg[:, 32:] = 1
    if name == "void":  # two classes, of which one has few valid pixels
        seg[:, :20] = 255
        seg[20:, 20:] = 255
        seg[30:40, 5:15] = 2
    return seg
