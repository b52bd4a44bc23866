"""psp prepare against plain loops over the same pairs: python tests/benchmarks/prepare.py

Prints, from one run: pairs per second of all three on the same number of processes, alternating,
and the medians of the ratios. One loop decodes every pair with Pillow, one with OpenCV, and both
append the files' bytes to one file a process. Then the peak memory of a worker on pictures of 5
megapixels, and that of the whole command over few and over many small pairs. Pictures and labels
are drawn, of the sizes and file sizes of ADE20K.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from drawn import draw
from PIL import Image


def by_pillow(data: bytes) -> np.ndarray:
    """Decode a picture or a label file."""
    picture = Image.open(io.BytesIO(data))
    return np.asarray(picture if picture.format == "PNG" else picture.convert("RGB"))


def by_opencv(data: bytes) -> np.ndarray:
    """Decode a picture or a label file."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


DECODERS = {"Pillow": by_pillow, "OpenCV": by_opencv}


def copy(task: tuple[str, str, str, str]) -> bool:
    """Decode a pair into arrays, as any program must that looks at it once, and copy its files."""
    decoder, image, label, folder = task
    files = [Path(image).read_bytes(), Path(label).read_bytes()]
    with (Path(folder) / str(os.getpid())).open("ab") as file:
        file.write(files[0] + files[1])
    shapes = [DECODERS[decoder](data).shape[:2] for data in files]
    return shapes[0] == shapes[1]


def plain_loop(decoder: str, folder: Path, workers: int) -> float:
    """Return the seconds that decoding and copying every pair takes in a pool of processes."""
    cv2.setNumThreads(1)
    images = sorted(str(path) for path in (folder / "images/train").iterdir())
    masks = [path.replace("/images/", "/masks/")[:-3] + "png" for path in images]
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        pairs = [(decoder, image, mask, out) for image, mask in zip(images, masks, strict=True)]
        begin = time.perf_counter()
        # Freed memory stays with the process, as in psp's workers: a third faster, so it is fair.
        with get_context("fork").Pool(workers, bytes, (31 << 20,)) as pool:
            assert all(pool.imap(copy, pairs, chunksize=16))
        return time.perf_counter() - begin


def linked(folder: Path, times: int) -> None:
    """Give every drawn pair more names, so that a set is large without being drawn for minutes."""
    for part in ("images/train", "masks/train"):
        for path in list((folder / part).iterdir()):
            for number in range(1, times):
                (path.with_name(f"{path.stem}-{number}{path.suffix}")).hardlink_to(path)


def psp_prepare(card: Path, folder: Path, workers: int) -> float:
    """Return the seconds that the whole command takes, the start of Python included."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        begin = time.perf_counter()
        subprocess.run(
            command(card, folder, Path(out) / "out", workers), check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - begin


def command(card: Path, folder: Path, out: Path, workers: int) -> list[str]:
    """Return the command line of one conversion."""
    return [
        sys.executable,
        "-m",
        "psp",
        "prepare",
        str(card),
        str(folder),
        "-o",
        str(out),
        "--workers",
        str(workers),
        "-q",
        "--json",
    ]


@contextlib.contextmanager
def watched() -> Iterator[dict[str, int]]:
    """Collect the peak resident memory in MB of every process below this one, by its command."""
    peaks: dict[str, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for pid, kind in below():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
                    peaks[kind] = max(peaks.get(kind, 0), peak)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def below() -> Iterator[tuple[int, str]]:
    """Yield the processes that descend from this one: (pid, "command" or "worker")."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
                lines[int(entry.name)] = (entry / "cmdline").read_text()
    own = {int(Path("/proc/self").readlink().name)}
    for _ in range(4):
        own |= {pid for pid, parent in parents.items() if parent in own}
    for pid in own:
        line = lines.get(pid, "")
        if "forkserver" in line:
            yield pid, "worker"
        elif "\0psp\0prepare\0" in line:
            yield pid, "command"


def peak(folder: Path, card: Path, workers: int) -> dict[str, int]:
    """Return the peak memory of a conversion's processes, in MB."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out, watched() as peaks:
        subprocess.run(
            command(card, folder, Path(out) / "out", workers), check=True, stdout=subprocess.DEVNULL
        )
    return peaks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20_000, help="as many as ADE20K has")
    parser.add_argument("--drawn", type=int, default=2000, help="others are links to these")
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--small", type=int, default=20_000, help="small pairs for the memory")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to draw; default: /tmp")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        if options.only != "memory":
            measure_speed(Path(name), options)
        if options.only != "speed":
            measure_memory(Path(name), options)


def measure_speed(place: Path, options: argparse.Namespace) -> None:
    """Print pairs a second, and psp's ratio to each loop."""
    card = draw(place / "speed", {"train": min(options.drawn, options.pairs)})
    linked(place / "speed", max(1, options.pairs // options.drawn))
    os.sync()  # or the disk is still busy with the drawings
    count = len(list((place / "speed/images/train").iterdir()))
    print(f"{count} pairs of 683x512, {options.workers} processes")
    seconds: dict[str, list[float]] = {name: [] for name in ("psp prepare", *DECODERS)}
    for _ in range(options.runs):
        for name in DECODERS:
            seconds[name].append(plain_loop(name, place / "speed", options.workers))
        seconds["psp prepare"].append(psp_prepare(card, place / "speed", options.workers))
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(values, seconds["psp prepare"], strict=True)]
        print(
            f"{name}: {count / statistics.median(values):.0f} pairs/s, psp prepare "
            f"{statistics.median(ratios):.2f} times as fast"
        )


def measure_memory(place: Path, options: argparse.Namespace) -> None:
    """Print the peak memory of processes on large pictures, and on few and many small ones."""
    card = draw(place / "large", {"train": 48}, 1936, 2592)
    print(f"5 megapixels, peak MB: {peak(place / 'large', card, options.workers)}")
    for count in (options.small // 10, options.small):
        card = draw(place / f"small{count}", {"train": count}, 32, 48)
        found = peak(place / f"small{count}", card, options.workers)
        print(f"{count} pairs of 48x32, peak MB: {found}")


if __name__ == "__main__":
    main()
