"""Networks and pictures from a seed, with numpy alone: the same in any environment."""

import zlib

import numpy as np

SHARP = 30  # so that a class's probability is not nearly that of the others


def values(shapes, seed):
    """Return float32 arrays by name, for the shapes by name, at which signals keep their size.

    Each depends on the seed and its own name, so that unused tensors change nothing.
    """
    found = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        if name.endswith("num_batches_tracked"):
            found[name] = np.array(1)
            continue
        if name.endswith("running_var"):
            array = rng.uniform(0.6, 1.4, shape)
        elif len(shape) == 4:
            array = rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5
            if name.endswith(("conv_seg.weight", "conv_last.4.weight")):
                array *= SHARP
        elif name.endswith(("bias", "running_mean")):
            array = rng.normal(size=shape) * 0.1
        else:
            array = rng.uniform(0.3, 0.7, shape)
        found[name] = array.astype(np.float32)
    return found


def picture(seed, height, width):
    """Return a uint8 (H, W, 3) RGB picture with large and small structures."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cell, strength in ((40, 70), (11, 40), (3, 25), (1, 10)):
        rows, columns = -(-height // cell), -(-width // cell)
        noise = rng.normal(size=(rows, columns, 3)) * strength
        total += noise.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return np.clip(total + 120, 0, 255).astype(np.uint8)
