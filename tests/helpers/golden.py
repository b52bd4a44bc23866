"""What tests against other programs' results share."""

import importlib.util

import numpy as np


def beside(folder, name):
    """Return a module of a folder of tests, which the programs that made the results import too."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_probabilities(name, found, expected, labels, step):
    """Hold probabilities (classes, H, W) to another program's, kept at every `step`th pixel.

    Its `labels` (H, W) must be equal wherever the best two classes differ by over 2e-4.
    """
    difference = np.abs(found[:, ::step, ::step] - expected).max()
    first, best = found.argmax(0), np.sort(found, axis=0)
    clear = best[-1] - best[-2] > 2e-4
    print(f"{name}: {difference:.1e}, labels {(labels == first).mean():.5f}")
    assert difference <= 1e-4
    assert np.array_equal(labels[clear], first[clear])
    assert (labels == first).mean() >= 0.999
