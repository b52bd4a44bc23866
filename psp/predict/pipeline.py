"""psp predict: from picture files to a folder of label maps, overlays and other files.

`predict` says what happens in which order. How a picture is decoded, predicted and written is in
`stages.py`, what the folder contains in `folder.py`, and what its files contain in `writers/`.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import torch

from psp.errors import PspError
from psp.events import Notice, Progress, ignore
from psp.files import file_sha256, numbered_names
from psp.images.kinds import LeftOut
from psp.model.choice import Choice
from psp.model.engines.registry import Chosen, choose_engine
from psp.model.load import load_sliding_window
from psp.model.procedure import BLENDS, Procedure
from psp.model.weights import Header, read_header
from psp.predict.folder import PredictionFolder, choose_folder
from psp.predict.pictures import some_of
from psp.predict.settings import Settings, read_settings
from psp.predict.stages import Network, Picture, Stages
from psp.predict.writers.registry import find_writers
from psp.predict.writers.writer import Writer
from psp.ranks import Share
from psp.render import OverlayStyle


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What to predict, with what, and where to write it."""

    pictures: Mapping[str, Path]  # output names to files, as `inputs.find_pictures` returns them
    weights: Path
    out: Path
    numbering: bool = False  # use out-2, out-3, … if `out` has other contents
    overwrite: bool = False  # redo finished pictures, and write into a folder of other settings
    writers: tuple[Writer, ...] = field(default_factory=find_writers)
    pack: bool = False  # files in tars in place of one for each picture
    overlay: OverlayStyle | None = None  # None: as the folder has it
    left_out: LeftOut = field(default_factory=LeftOut)  # of the folders of the pictures
    share: Share = field(default_factory=Share)  # do only this share of the pictures
    procedure: Callable[[Header], Procedure]  # the test procedure for weights with this header
    device: torch.device
    precision: str = "auto"
    engine: str | None = None  # what runs the network; None: by the kind of `weights`
    window_batch: int | None = None  # windows per network pass; None: by device
    compiled: bool = False

    @property
    def chosen(self) -> Chosen:
        """The engine, and what it computes in. Raises PspError if it cannot."""
        return choose_engine(self.weights, self.engine, self.precision, self.device)


@dataclass(frozen=True)
class Predicted:
    """Event: a picture is done, or has failed with `error`."""

    name: str
    done: int  # pictures so far
    total: int
    seconds: float  # of all work on this picture
    error: str | None = None


@dataclass(frozen=True)
class PredictResult:
    """Where the results of a call are, and how they were made."""

    out: Path
    predicted: tuple[str, ...]  # names of the pictures
    skipped: tuple[str, ...]  # finished by an earlier call
    failed: tuple[tuple[str, str], ...]  # name, error
    header: Header
    procedure: Procedure
    precision: str
    remarks: Mapping[str, int] = field(default_factory=dict)  # on how many pictures' files


def predict(
    request: PredictRequest, report: Callable[[Predicted | Progress | Notice], None] = ignore
) -> PredictResult:
    """Write the chosen writers' files for every picture of the request.

    Pictures that are finished already are skipped. A label map has its picture's size, upright by
    EXIF; its values are class ids. A picture that cannot be read or written is reported, and the
    others are done. Raises PspError if all fail, or if `out` has other contents.
    """
    names = _without_results(request)
    own = some_of(request.pictures, request.share.of(names))
    header = read_header(request.weights)
    folder, unfinished, procedure = begin(request, header, own)
    stages = Stages(folder, header, request.overwrite)
    with closing(folder):
        if unfinished:
            network = load_network(request, procedure, report)
            _run(stages, unfinished, network, report, alone=len(names) == 1)
            if not stages.predicted and len(unfinished) == len(names):
                raise PspError(
                    f"{folder.out}: nothing was written, because all {len(own)} pictures failed."
                )
        stages.open_folder()
        if folder.merge(names):
            folder.collect(header.palette, request.left_out)
    return PredictResult(
        out=folder.out,
        predicted=tuple(stages.predicted),
        skipped=tuple(name for name in own if name not in unfinished),
        failed=tuple(stages.failed),
        header=header,
        procedure=procedure,
        precision=folder.settings.precision,
        remarks=dict(sorted(stages.remarks.items())),
    )


def _without_results(request: PredictRequest) -> list[str]:
    """Return the names of the pictures that are no results in the folder of results."""
    out = request.out.resolve()

    @cache
    def is_inside(folder: Path) -> bool:
        return folder.resolve().is_relative_to(out)

    def is_result(path: Path) -> bool:
        return is_inside(path) if path.is_symlink() else is_inside(path.parent)

    names = [name for name, path in request.pictures.items() if not is_result(path)]
    if not names:
        raise PspError(f"{request.out}: all the pictures are in this folder. Choose another -o")
    return names


def _as_begun(
    request: PredictRequest, header: Header, procedure: Procedure
) -> tuple[Procedure, Settings]:
    """Return the procedure and the settings; if no blend is named, with that of the folder.

    Earlier versions had only one blend, the uniform one, and their folders go on.
    """
    settings = settings_of(request, header, procedure)
    named = not isinstance(request.procedure, Choice) or request.procedure.blend is not None
    if named or request.overwrite:
        return procedure, settings
    known = [(procedure, settings)]
    for blend in BLENDS:
        other = replace(procedure, blend=blend)
        known.append((other, replace(settings, procedure=asdict(other))))
    for folder in _candidates(request):
        if (stored := read_settings(folder)) is None:
            break
        for other, theirs in known:
            if theirs.in_folder(stored).fingerprint == stored.get("fingerprint"):
                return other, theirs
    return procedure, settings


def settings_of(request: PredictRequest, header: Header, procedure: Procedure) -> Settings:
    """Return what decides the label maps. The writers do not, so any may be added later."""
    return Settings(
        weights=str(request.weights),
        sha256=file_sha256(request.weights),
        procedure=asdict(procedure),
        precision=request.chosen.text,
        dataset=header.dataset,
        step=header.step,
        classes=header.classes,
        overlay=request.overlay,
    )


def begin(
    request: PredictRequest, header: Header, own: Mapping[str, Path], *, more: bool = False
) -> tuple[PredictionFolder, Mapping[str, Path], Procedure]:
    """Return the folder that the results go into, what is not finished in it of this share's
    pictures, and the procedure. `more`: others will be asked for, too, as frames of a video, which
    are not known before. Raises PspError if the folder has other contents."""
    procedure, settings = _as_begun(request, header, request.procedure(header))
    folder, unfinished = choose_folder(
        _candidates(request),
        settings,
        request.share,
        request.writers,
        own,
        request.overwrite,
        request.pack,
        more,
    )
    return folder, unfinished, procedure


def _candidates(request: PredictRequest) -> Iterable[Path]:
    """Return the folders that the results may go into, the preferred one first."""
    numbering = request.numbering and not request.overwrite and request.share.total == 1
    return numbered_names(request.out) if numbering else [request.out]


def load_network(
    request: PredictRequest,
    procedure: Procedure,
    report: Callable[[Progress | Notice], None] = ignore,
) -> Network:
    """Return the stage that predicts, with all that the request's writers need.

    `report` gets what the engine has to say, and the progress inside a large picture.
    """
    chosen = request.chosen
    sliding_window, _ = load_sliding_window(
        request.weights,
        request.device,
        chosen.precision,
        engine=chosen.name,
        report=report,
        window_batch=request.window_batch,
        compiled=request.compiled,
    )
    probabilities = any(writer.probabilities for writer in request.writers)
    confidence = any(writer.confidence for writer in request.writers)
    if sliding_window.votes:  # the gallery shows uncertainty where it is known
        needing = [
            writer for writer in request.writers if writer.probabilities or writer.confidence
        ]
        if asked := [writer.name for writer in needing if not writer.optional]:
            raise PspError(
                f"{request.weights}: gives class ids, so nothing is known of probabilities. Export "
                f"it without --include argmax, or leave out what needs them: {', '.join(asked)}"
            )
        confidence = False
    sliding_window = replace(sliding_window, report=report)
    return Network(sliding_window, procedure, probabilities, confidence)


def _run(
    stages: Stages,
    pictures: Mapping[str, Path],
    network: Network,
    report: Callable[[Predicted | Progress | Notice], None],
    alone: bool,
) -> None:
    """Predict the pictures and report each. If there is only one, `alone`, its error is raised."""
    items = (Picture(name, path) for name, path in pictures.items())
    with closing(stages.run(items, network)) as results:
        for done, item in enumerate(results, start=1):
            if item.error and alone:
                raise PspError(item.error)
            seconds = round(item.seconds, 4)
            report(Predicted(item.name, done, len(pictures), seconds, item.error))
