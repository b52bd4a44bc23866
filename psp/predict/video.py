"""psp predict of a video: an overlay video, and files of its frames on request.

    overlay.webm       the overlays of the frames; it appears when all are done
    video.json         from which file it was made, and how
    labels/000123.png  and other folders: a frame's file of each chosen writer

The folder is otherwise that of pictures (`folder.py`), with frames as pictures that are named by
their number. So what was finished of them before a call was killed is not predicted again; the
video itself begins anew.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.errors import PspError
from psp.files import read_bytes, sync, write_json
from psp.headers import read_header as read_json
from psp.images.labels import decode_label
from psp.images.video import Clip, Frame, WebmWriter
from psp.model.procedure import Procedure
from psp.model.weights import Header, read_header
from psp.predict.folder import PredictionFolder
from psp.predict.frames import FrameFolder, path_of
from psp.predict.pipeline import PredictRequest, begin, load_network
from psp.predict.stages import Picture, Stages
from psp.predict.states import source_state
from psp.render import OverlayStyle, draw
from psp.workers import prefetch_map

VIDEO, ABOUT = "overlay.webm", "video.json"
LONGEST_HOLD = 10.0  # seconds; a longer pause between two frames is taken for a broken time
AHEAD = 4  # frames that may wait to be written
LOWEST_RATE = 1.0  # frames per second that OpenCV writes


@dataclass(frozen=True)
class Written:
    """What was done for an overlay video, as in video.json."""

    frames: int  # that were predicted or reused
    reused: int  # label maps of an earlier call
    failed: list[tuple[str, str]]  # pictures of a folder that could not be read: name, error
    cut_off: str | None  # what is missing of the clip
    seconds: float
    rate: float  # frames per second, of the overlay video
    height: int
    width: int
    names: list[str]  # of the first and the last frame

    @property
    def per_second(self) -> float:
        """Frames that were predicted, drawn and written in a second, all in all."""
        return self.frames / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class VideoResult:
    """Where the overlay video is, what was done for it (perhaps by an earlier call), and how."""

    done: Written
    out: Path
    header: Header
    procedure: Procedure
    precision: str
    there: bool = False  # an earlier call has done all of it


def predict_video(
    request: PredictRequest,
    source: Clip | FrameFolder,
    every: int = 1,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> VideoResult:
    """Write the overlay video of every `every`th frame, and the request's writers' files of them.

    The video has the duration of the source, whatever its rates, and no sound. `report` gets how
    many frames are done, and of about how many. Raises PspError if the source is unreadable, or if
    `out` has other contents.
    """
    header = read_header(request.weights)
    folder, _, procedure = begin(request, header, {_name(0): path_of(source, 0)}, more=True)
    about = _about(folder, source, every)
    done = None if request.overwrite else _finished(folder, about, source)
    if done is None:
        with closing(folder):
            done = _write(request, header, folder, procedure, source, every, report)
            write_json(folder.out / ABOUT, {**about, **asdict(done)})
        return VideoResult(done, folder.out, header, procedure, folder.settings.precision)
    return VideoResult(done, folder.out, header, procedure, folder.settings.precision, there=True)


def _write(
    request: PredictRequest,
    header: Header,
    folder: PredictionFolder,
    procedure: Procedure,
    source: Clip | FrameFolder,
    every: int,
    report: Callable[[int, int], None],
) -> Written:
    """Predict the frames, write the video and the frames' files, and return what was done."""
    stages = Stages(folder, header, request.overwrite)
    network = load_network(request, procedure)
    work = _Work(folder, header, source, every, request.overwrite)
    begun = time.perf_counter()
    with closing(work):
        with closing(stages.run(work.items(), work.predictor(network), work.draw)) as results:
            for count, item in enumerate(results, start=1):
                if item.error:
                    raise PspError(f"frame {int(item.name)}: {item.error}")
                work.append(item)
                report(count, max(count, -(-source.total // every)))
        work.finish()
    seconds = time.perf_counter() - begun
    failed = source.failed if isinstance(source, FrameFolder) else []
    for number, error in failed:
        folder.record(_name(number), path_of(source, number), {"error": error})
    folder.merge([*work.names, *(_name(number) for number, _ in failed)])
    folder.collect(header.palette, request.left_out)
    return Written(
        frames=len(work.names),
        reused=work.reused,
        failed=[(_name(number), error) for number, error in failed],
        cut_off=source.cut_off,
        seconds=round(seconds, 3),
        rate=round(work.rate, 3),
        height=work.size[0],
        width=work.size[1],
        names=[work.names[0], work.names[-1]],
    )


class _Work:
    """The frames on their way: where label maps come from, and the video that they end in."""

    def __init__(
        self,
        folder: PredictionFolder,
        header: Header,
        source: Clip | FrameFolder,
        every: int,
        overwrite: bool,
    ) -> None:
        self.folder, self.header, self.source, self.every = folder, header, source, every
        self.style = folder.settings.overlay or OverlayStyle()
        self.rate = max(LOWEST_RATE, source.rate / every)
        self.names: list[str] = []
        self.reused = 0
        self.size = (0, 0)
        self._reads = not overwrite and "labels" in folder.paths("x")
        self._times: deque[float] = deque()  # of the frames that are under way
        self._path = folder.out / f"{Path(VIDEO).stem}.partial{Path(VIDEO).suffix}"
        self._pool = ThreadPoolExecutor(1, "video")
        self._waiting: deque[Future[None]] = deque()
        self._pace = _Pace(self.rate)
        self._writer: WebmWriter | None = None
        self._last: NDArray[np.uint8] | None = None

    def items(self) -> Iterator[Picture]:
        """Yield the frames as pictures, read ahead by a thread."""
        frames = self.source.frames(self.every)
        ahead = prefetch_map(lambda _: next(frames, None), iter(int, 1), 1)
        with closing(ahead):
            for frame in ahead:
                if frame is None:
                    return
                yield self._item(frame)

    def _item(self, frame: Frame) -> Picture:
        name = _name(frame.number)
        self.names.append(name)
        self._times.append(frame.seconds)
        return Picture(name, path_of(self.source, frame.number), image=frame.image)

    def predictor(self, network: Callable[[Picture], None]) -> Callable[[Picture], None]:
        """Return the stage that predicts a frame, or takes its label map of an earlier call."""

        def predict(item: Picture) -> None:
            if self._reads and self.folder.finished(item.name, item.path):
                path = self.folder.paths(item.name)["labels"]
                labels = decode_label(read_bytes(path), str(path))
                assert item.image is not None
                if labels.shape == item.image.shape[:2]:
                    item.labels, item.finished = np.asarray(labels, np.uint8), True
                    self.reused += 1
                    return
            network(item)

        return predict

    def draw(self, item: Picture) -> None:
        """Draw a frame's overlay, before its arrays are freed."""
        assert item.image is not None and item.labels is not None
        item.drawn = draw(item.image, item.labels, self.header.palette, self.style)

    def append(self, item: Picture) -> None:
        """Append a frame to the video; a thread compresses it meanwhile."""
        drawn, item.drawn = item.drawn, None
        assert drawn is not None
        self._waiting.append(self._pool.submit(self._append, drawn, self._times.popleft()))
        while len(self._waiting) > AHEAD:
            self._waiting.popleft().result()

    def _append(self, drawn: NDArray[np.uint8], seconds: float) -> None:
        if self._writer is None:
            self.size = drawn.shape[0], drawn.shape[1]
            self._writer = WebmWriter(self._path, self.size, self.rate)
        if self._last is not None:  # it is shown until this one is
            self._writer.write(self._last, self._pace.copies(seconds))
        else:
            self._pace.copies(seconds)
        self._last = drawn

    def finish(self) -> None:
        """Complete the video and give it its name."""
        while self._waiting:
            self._waiting.popleft().result()
        assert self._writer is not None and self._last is not None
        self._writer.write(self._last)
        self._writer.close()
        self._writer = None
        sync(self._path)
        self._path.replace(self.folder.out / VIDEO)

    def close(self) -> None:
        """Give up what is not finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._writer is not None:
            self._writer.close()
        with suppress(OSError):
            self._path.unlink()


class _Pace:
    """How often a frame is written, so that a video of a constant rate keeps the source's times."""

    def __init__(self, rate: float) -> None:
        self._rate, self._written = rate, 0
        self._start: float | None = None

    def copies(self, seconds: float) -> int:
        """Return how often the frame before the one at a time is written: 0 drops it."""
        if self._start is None:
            self._start = seconds
            return 0
        due = round((seconds - self._start) * self._rate) - self._written
        if due > LONGEST_HOLD * self._rate:
            self._start += (due - 1) / self._rate
            due = 1
        self._written += max(0, due)
        return max(0, due)


def _name(number: int) -> str:
    return f"{number:06d}"


def _about(folder: PredictionFolder, source: Clip | FrameFolder, every: int) -> dict[str, Any]:
    """Return what decides the video: the file or files, and the settings."""
    paths = [source.path] if isinstance(source, Clip) else source.pictures
    states = [list(source_state(path)) for path in paths]
    style = folder.settings.overlay or OverlayStyle()
    return {
        "sources": states,
        "every": every,
        "source_rate": source.rate,
        "overlay": [style.name, style.strength],
        "made_with": folder.settings.fingerprint,
    }


def _finished(
    folder: PredictionFolder, about: dict[str, Any], source: Clip | FrameFolder
) -> Written | None:
    """Return what an earlier call did, if all that this one would write is there."""
    try:
        stored = read_json(folder.out / ABOUT).value
    except PspError:  # there is none, or it is damaged
        return None
    if not (folder.out / VIDEO).is_file() or any(
        stored.get(key) != value for key, value in about.items()
    ):
        return None
    done = Written(**{field.name: stored[field.name] for field in fields(Written)})
    first, last = map(int, done.names)
    failed = {name for name, _ in done.failed}
    for number in range(first, last + 1, about["every"]):
        name = _name(number)
        if name not in failed and not folder.finished(name, path_of(source, number)):
            return None
    return done
