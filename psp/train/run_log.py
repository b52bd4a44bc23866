"""A run's journal: what happens while training, as events, as metrics.jsonl and as log.txt."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from psp.errors import PspError
from psp.events import Notice, Progress
from psp.files import atomic_write, make_folder
from psp.runs import Run
from psp.settings.optimizer import OptimizerSettings

if TYPE_CHECKING:  # events are shown by code that does without torch
    from torch import Tensor


@dataclass(frozen=True)
class Step:
    """Steps done so far; means since the last such event.

    `terms`: main, aux and the other terms of the loss that are on, each without its factor.
    """

    step: int
    loss: float
    terms: Mapping[str, float]
    lr: float
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Validation:
    """The scores at a step by their keys, of whole pictures, single scale, no flip."""

    step: int
    scores: Mapping[str, float]
    best: bool
    seconds: float

    @property
    def miou(self) -> float:
        """The score that decides which weights are the best."""
        return self.scores["miou"]


# Progress is counted in STEPS, or during a validation in PICTURES.
STEPS, PICTURES = "steps", "pictures"
Event = Progress | Notice | Step | Validation


class RunLog:
    """metrics.jsonl and log.txt of a run; every event also goes to the listeners."""

    def __init__(
        self, run: Run, resumed: int | None, listeners: Sequence[Callable[[Event], None]]
    ) -> None:
        """`resumed` is the step a run continues from: what it logged after that step is dropped."""
        make_folder(run.folder)
        self.run, self.listeners = run, listeners
        if resumed is not None and run.metrics.exists():
            lines = run.metrics.read_text(encoding="utf-8", errors="replace").splitlines(
                keepends=True
            )
            with atomic_write(run.metrics) as temporary:
                text = "".join(line for line in lines if step_of(line) <= resumed)
                temporary.write_text(text, encoding="utf-8")

    def __call__(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)
        if isinstance(event, Progress):
            return
        with self.run.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {describe(event)}\n")
        if isinstance(event, (Step, Validation)):
            with self.run.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_record(event)) + "\n")


def _record(event: Step | Validation) -> dict[str, Any]:
    """Return a line of metrics.jsonl: the event's fields, with terms and scores among them."""
    record: dict[str, Any] = {"event": type(event).__name__.lower()}
    for name, value in asdict(event).items():
        record |= value if isinstance(value, dict) else {name: value}
    return record


def step_of(line: str) -> float:
    """Return the step of a line of metrics.jsonl; infinity for a half-written one."""
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


class Meter:
    """Losses and speed since the last report, without waiting for the device in between."""

    def __init__(
        self,
        settings: OptimizerSettings,
        names: Callable[[int], list[str]],
        sum_rows: Callable[[list["Tensor"]], list[list[float]]],
        terms: Sequence[str],
        interval: int,
        cost: float,
    ) -> None:
        """`names` gives the names of the pictures of a step, `sum_rows` the numbers of tensors,
        summed over the ranks where there are several; `terms` are the names of the loss terms.
        A validation is every `interval` steps and at the end, and takes about as long as `cost`
        steps, until one has been timed."""
        self.interval, self.cost = interval, cost
        self.validation: float | None = None  # seconds of the last one
        self.settings, self.names, self.sum_rows, self.terms = settings, names, sum_rows, terms
        self.values: list[Tensor] = []
        self.away, self.began = 0.0, time.perf_counter()

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Leave out the time of the block, a validation, and note how long it takes."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.validation = time.perf_counter() - begin
            self.away += self.validation

    def add(self, values: "Tensor") -> None:
        """Add the losses of one step, the total and each term, (1 + terms,), on the device."""
        self.values.append(values)

    def report(self, step: int, lr: float) -> Step:
        """Return the means since the last report, `step` steps being done. Raises PspError as
        `check` does."""
        rows = self.check(step)
        loss, *terms = (math.fsum(column) / len(rows) for column in zip(*rows, strict=True))
        seconds = (time.perf_counter() - self.began - self.away) / len(rows)
        result = Step(
            step,
            loss,
            dict(zip(self.terms, terms, strict=True)),
            lr,
            self.settings.batch / seconds,
            self._left(step, seconds),
        )
        self.values, self.away, self.began = [], 0.0, time.perf_counter()
        return result

    def _left(self, step: int, seconds: float) -> float:
        """Return the seconds to the end of the run, validations included, the one due now too."""
        steps = self.settings.steps
        validations = steps // self.interval - (step - 1) // self.interval
        validations += steps % self.interval > 0
        each = self.cost * seconds if self.validation is None else self.validation
        return (steps - step) * seconds + validations * each

    def check(self, step: int) -> list[list[float]]:
        """Return the losses since the last report, `step` steps being done.

        Raises PspError for one that is not finite, naming its step and its pictures.
        """
        rows = self.sum_rows(self.values)
        for number, row in enumerate(rows, start=step - len(rows)):
            if not all(map(math.isfinite, row)):
                raise not_finite(
                    f"the loss is {row[0]}", number, self.names(number), self.settings.lr
                )
        return rows


def not_finite(what: str, step: int, names: list[str], lr: float) -> PspError:
    """Return the error of a training that has diverged at `step`, counted from 0."""
    return PspError(
        f"{what} at step {step + 1} (pictures: {', '.join(names)}). Try a smaller --lr (now "
        f"{lr:g}); or --set precision=fp32 where it computes in bf16"
    )


def describe(event: Event) -> str:
    """Return an event as one plain line."""
    if isinstance(event, Step):
        terms = ", ".join(f"{name} {value:.4f}" for name, value in event.terms.items())
        return (
            f"step {event.step}: loss {event.loss:.4f} ({terms}), lr {event.lr:.2e}, "
            f"{event.images_per_second:.1f} images/s, "
            f"{duration(event.seconds_left)} left"
        )
    if isinstance(event, Validation):
        scores = event.scores  # of which one line has room for these three
        return (
            f"step {event.step}: mIoU {100 * scores['miou']:.2f}, mean accuracy "
            f"{100 * scores['mean_accuracy']:.2f}, pixel accuracy "
            f"{100 * scores['pixel_accuracy']:.2f}"
            f"{', the best so far' if event.best else ''} ({duration(event.seconds)})"
        )
    if isinstance(event, Progress):
        return f"{event.done} of {event.total} {event.unit}"
    return event.text


def duration(seconds: float) -> str:
    """Return seconds as 42s, 3m05s or 2h07m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
