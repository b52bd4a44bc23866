"""Videos in psp predict: what is one, what cannot be done with one, and what is said at the end."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from psp.errors import PspError

if TYPE_CHECKING:
    from psp.images.video import Clip
    from psp.predict.frames import FrameFolder
    from psp.predict.pipeline import PredictRequest
    from psp.predict.video import VideoResult
    from psp.runs import Model

_ADDRESS = re.compile(r"(rtsps?|rtmps?|rtp|udp|tcp|srt|mms|https?|ftp|file):/", re.IGNORECASE)


def check_cameras(arguments: Sequence[Path]) -> None:
    """Raise PspError for the number of a webcam, and for the address of a stream or file."""
    from psp.zoo.find import is_run

    for argument in arguments:
        text = str(argument)
        camera = text.isdecimal() and not argument.exists() and not is_run(argument)
        if not camera and not _ADDRESS.match(text):
            continue
        url = re.sub(":/+", "://", text)  # a path has lost a slash of it
        what = f"{text}: a camera's number" if camera else f"{url}: an address"
        file = "" if camera else " Download a file first."
        raise PspError(
            f"{what}; psp predict reads files.{file} Cameras and streams are for Python: predictor "
            "= psp.load('MODEL'), then: for image, labels in predictor.stream(frames)"
        )


def film_of(options: Mapping[str, Any], ranks: int) -> "Clip | FrameFolder | None":
    """Return the video that is meant: a clip, or with --fps the pictures as frames. None: pictures.

    `options` are the command's variables by their names. Raises PspError for what videos cannot do.
    """
    from psp.images.video import Clip, is_video
    from psp.predict.frames import FrameFolder, in_order

    images: list[Path] = options["images"]
    clips = [path for path in images if is_video(path)]
    rate, part = options["fps"], options["part"]
    if not clips and rate is None:
        if options["every"] != 1:
            raise PspError("--every: for videos. Pictures as frames of one: add --fps 25")
        return None
    if clips and len(images) > 1:
        raise PspError(
            f"{clips[0]}: a video among other inputs. One at a time: psp predict {clips[0]} "
            f"-m {options['model'] or 'MODEL'}"
        )
    if clips and rate is not None:
        raise PspError(f"--fps: for pictures as frames; {clips[0]} has its own rate. Leave it out")
    if part or ranks > 1:
        given = f"--part {part}" if part else "torchrun"
        raise PspError(f"{given}: a video is one file, whose frames are not shared. Leave it out")
    out: Path | None = options["out"]
    if out is not None and _is_file_name(out):
        raise PspError(
            f"-o {out}: the results of a video are a folder, with overlay.webm in it (VP9, which "
            f"browsers play; OpenCV cannot write H.264). Name a folder: -o {out.with_suffix('')}"
        )
    return Clip(clips[0]) if clips else FrameFolder(in_order(options["pictures"]), rate)


def _is_file_name(out: Path) -> bool:
    from psp.images.kinds import BY_SUFFIX, VIDEO
    from psp.predict.one_file import is_one_file

    return is_one_file(out) or (BY_SUFFIX.get(out.suffix.lower()) is VIDEO and not out.is_dir())


def predict_film(
    request: "PredictRequest",
    film: "Clip | FrameFolder",
    every: int,
    source: "Model",
    quiet: bool,
    as_json: bool,
) -> None:
    """Predict a video with a bar, and print where it is; exit with code 3 if frames are missing."""
    from psp.cli.console import progress, say
    from psp.errors import printable
    from psp.files import json_line
    from psp.predict.video import VIDEO, predict_video

    with progress("predicting", quiet) as advance:
        result = predict_video(request, film, every, advance)
    done = result.done
    missing = [error for _, error in done.failed] + [done.cut_off] * bool(done.cut_off)
    if as_json:
        facts = {**asdict(done), "frames_per_second": round(done.per_second, 2)}
        video = str(result.out / VIDEO)
        print(json_line({"out": str(result.out), "video": video, "there": result.there, **facts}))
    else:
        print(printable(str(result.out)))
    for error in missing if not quiet else ():
        say(printable(str(error)))
    if not quiet:
        _say_result(result, source)
    if missing:
        raise typer.Exit(3)


def _say_result(result: "VideoResult", model: "Model") -> None:
    from psp.cli.console import say
    from psp.cli.tables.scores import procedure_line
    from psp.predict.video import VIDEO

    done = result.done
    what = (
        f"{result.out / VIDEO}: {done.width}x{done.height}, {done.rate:g} frames per second, VP9, "
        "without sound"
    )
    if result.there:
        say(f"finished already, and skipped: {what}")
    else:
        reused = f", {done.reused} of them with the label maps of an earlier call"
        say(f"{done.frames} frames in {done.seconds:.1f} s{reused if done.reused else ''}")
        say(f"measured: {done.per_second:.1f} frames per second, reading and writing included")
        say(what)
    how = procedure_line(model.which, result.header, result.procedure, result.precision)
    say(f"{model.path.parent if model.run else model.path}: {how}")
