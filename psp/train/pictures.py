"""The pictures that a run draws of itself while it trains. They change nothing that it computes.

samples/crops.jpg   the first training crops with their labels
samples/{step}.jpg  some validation pictures with their predictions, at every validation
curves.png          of the whole run
confusion.png  per_class.png   of the newest validation
"""

import json
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from psp.data.loader import Crops
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.evaluate.count import PredictedSample
from psp.evaluate.metrics import Counts, iou, miou
from psp.events import Notice
from psp.files import write
from psp.images.encoding import encode_jpeg
from psp.pages.confusion import draw_confusion
from psp.pages.per_class import draw_per_class
from psp.pages.training_curves import draw_curves
from psp.runs import Run
from psp.train.run_log import Event
from psp.train.samples import CROPS, Sample, choose_samples, draw_crops, draw_samples, small_sample

SHARE = 0.03  # of a run's time that its charts may take
GOES_ON = "The training goes on; without pictures: --set pictures=false"


class RunPictures:
    """Draws what a run shows of itself. What cannot be drawn or written is said, and no more."""

    def __init__(
        self, run: Run, split: ShardSplit, steps: int, log: Callable[[Event], None]
    ) -> None:
        """`split` is what the run validates on, `steps` how many steps it has."""
        self.run, self.split, self.steps, self.log = run, split, steps, log
        self.samples: dict[int, Sample] = {}  # of the validation that is going on
        self.drawing, self.began = 0.0, time.perf_counter()

    @cached_property
    def chosen(self) -> list[int]:
        """The pictures of the split that are shown, the same ones for the run's life."""
        found: list[int] = []
        self._try(self.run.samples, lambda: found.extend(choose_samples(self.split)))
        return found

    def draw_crops(self, crops: Crops) -> None:
        """Draw the first crops of the run; the training itself says which are damaged."""
        path = self.run.samples / "crops.jpg"
        items = [crops[number] for number in range(CROPS)]
        intact = [item for item in items if not isinstance(item, PspError)]
        if intact and self._write(path, lambda: encode_jpeg(draw_crops(intact, self.split.card))):
            self.log(Notice(f"the first crops with their labels: {path}"))

    def keep(self, sample: PredictedSample) -> None:
        """Keep a prediction of a validation if its picture is one of those that are shown."""

        def shrink() -> None:
            self.samples[sample.index] = small_sample(self.split, sample)

        if sample.index in self.chosen:
            self._try(self.run.samples, shrink)

    def draw(self, step: int, confusion: Counts) -> None:
        """Draw a validation: its samples, and its charts unless these take too much of the time."""
        samples = [self.samples[index] for index in sorted(self.samples)]
        self.samples.clear()
        card, name = self.split.card, self.run.folder.name
        if samples:
            path = self.run.samples / f"{step:08d}.jpg"
            self._write(path, lambda: encode_jpeg(draw_samples(samples, card, step)))
        begin = time.perf_counter()
        if step < self.steps and self.drawing > SHARE * (begin - self.began):
            return
        title = f"{name} at step {step}: mIoU {100 * miou(confusion):.2f}"
        charts: dict[str, Callable[[], bytes]] = {
            "curves": lambda: draw_curves(self._records(), f"{name}, {step} of {self.steps} steps"),
            "confusion": lambda: draw_confusion(confusion, card.names, title),
            "per_class": lambda: draw_per_class(card.names, card.palette, iou(confusion), title),
        }
        for chart, draw in charts.items():
            self._write(self.run.folder / f"{chart}.png", draw)
        self.drawing += time.perf_counter() - begin

    def _records(self) -> list[dict[str, Any]]:
        lines = self.run.metrics.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def _write(self, path: Path, draw: Callable[[], bytes]) -> bool:
        """Draw and write a picture; return whether it is there."""
        return self._try(path, lambda: write(path, draw()))

    def _try(self, path: Path, work: Callable[[], None]) -> bool:
        """Do some work on a picture; return whether it is done. None is worth a training."""
        try:
            work()
        except PspError as error:
            self.log(Notice(f"{error} {GOES_ON}"))
            return False
        except Exception as error:  # whatever a library raises that draws
            self.log(Notice(f"{path}: not drawn ({type(error).__name__}: {error}). {GOES_ON}"))
            return False
        return True
