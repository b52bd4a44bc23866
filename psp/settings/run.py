"""Settings of how a run is carried out: they hardly change what it computes."""

from dataclasses import dataclass
from typing import Annotated

from psp.settings.section import Section, Setting


@dataclass(frozen=True, kw_only=True)
class RunSettings(Section):
    """Seed, precision, speed, and how often the run validates, saves and reports."""

    seed: Annotated[int, Setting("every random choice follows from it", low=0, high=2**63 - 1)] = 0
    precision: Annotated[
        str, Setting("auto: bf16 where a GPU has it, else fp32", ("auto", "fp32", "bf16"))
    ] = "auto"
    compile: Annotated[
        bool,
        Setting(
            "compile the network (torch.compile): minutes at the start, for long runs on a GPU"
        ),
    ] = False
    deterministic: Annotated[
        bool,
        Setting("make runs on a GPU repeatable bit for bit, with slower kernels (CPUs always are)"),
    ] = False
    pictures: Annotated[
        bool, Setting("draw curves, sample predictions and the first crops into the run's folder")
    ] = True
    tensorboard: Annotated[bool, Setting("write the curves for TensorBoard too (an extra)")] = False
    workers: Annotated[
        int | None,
        Setting("processes that load pictures; auto: by the cores", low=0, high=256),
    ] = None
    hours: Annotated[
        float | None,
        Setting(
            "train for about so long: the steps follow from the time that ten take; auto: as steps "
            "says",
            low=0.001,
            high=10_000,
        ),
    ] = None
    patience: Annotated[
        int | None,
        Setting("end after N validations in a row without a better mIoU; auto: never", low=1),
    ] = None
    eval_every: Annotated[
        int | None,
        Setting(
            "validate every N steps; auto: ten times a run, fewer where that would take over a "
            "fifth of its time",
            low=1,
        ),
    ] = None
    save_every: Annotated[
        int | None,
        Setting("checkpoint every N steps; auto: ten times a run, every 500 at most", low=1),
    ] = None
    log_every: Annotated[
        int | None, Setting("log every N steps; auto: 20 times a run, every 50 at most", low=1)
    ] = None


# These change how fast a run is and how often it reports, never what it computes. (`eval_every` is
# not among them: it decides which step's weights can become the best.)
FREE_ON_RESUME = frozenset({"workers", "save_every", "log_every", "pictures", "tensorboard"})
