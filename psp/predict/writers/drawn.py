"""Which classes of a prediction are drawn in exports for labeling tools: all but the background."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from psp.predict.writers.writer import Prediction

UNDRAWN = {"background", "_background_"}  # names of the class that these tools leave undrawn


def drawn_classes(prediction: Prediction) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield each class id in the picture and its mask (H, W); not that of the background."""
    for index in np.unique(prediction.labels).tolist():
        if index < len(prediction.classes) and prediction.classes[index] not in UNDRAWN:
            yield index, prediction.labels == index
