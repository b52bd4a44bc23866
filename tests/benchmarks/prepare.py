"""psp prepare against a plain loop that decodes every pair: python tests/benchmarks/prepare.py

Prints, from one run: pairs per second of both on the same number of processes, alternating, each
ratio and their median; the peak memory of a worker on pictures of 5 megapixels; and that of the
whole command over few and over many small pairs. Pictures and labels are drawn, of the sizes and
file sizes of ADE20K.
"""

import argparse
import contextlib
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

import numpy as np
from drawn import draw
from PIL import Image


def decode(pair: tuple[str, str]) -> bool:
    """Decode a pair into arrays, as any program must that looks at it once."""
    image = np.asarray(Image.open(pair[0]).convert("RGB"))
    label = np.asarray(Image.open(pair[1]))
    return image.shape[:2] == label.shape


def plain_loop(folder: Path, workers: int) -> float:
    """Return the seconds that decoding every pair takes in a pool of processes."""
    images = sorted(str(path) for path in (folder / "images/train").iterdir())
    pairs = [(path, path.replace("/images/", "/masks/")[:-3] + "png") for path in images]
    begin = time.perf_counter()
    # Freed memory stays with the process, as in psp's workers: a third faster, so it is fair.
    with get_context("fork").Pool(workers, bytes, (31 << 20,)) as pool:
        for _ in pool.imap(decode, pairs, chunksize=16):
            pass
    return time.perf_counter() - begin


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
    parser.add_argument("--small", type=int, default=20_000, help="small pairs for the memory")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to draw; default: /tmp")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        place = Path(name)
        card = draw(place / "speed", {"train": options.pairs})
        os.sync()  # or the disk is still busy with the drawings
        print(f"{options.pairs} pairs of 683x512, {options.workers} processes")
        ratios = []
        for _ in range(options.runs):
            loop = plain_loop(place / "speed", options.workers)
            whole = psp_prepare(card, place / "speed", options.workers)
            ratios.append(loop / whole)
            print(
                f"plain loop {options.pairs / loop:.0f} pairs/s, psp prepare "
                f"{options.pairs / whole:.0f} pairs/s, ratio {ratios[-1]:.2f}"
            )
        print(f"median of the ratios: {statistics.median(ratios):.2f}")
        card = draw(place / "large", {"train": 48}, 1936, 2592)
        print(f"5 megapixels, peak MB: {peak(place / 'large', card, options.workers)}")
        for count in (options.small // 10, options.small):
            card = draw(place / f"small{count}", {"train": count}, 32, 48)
            found = peak(place / f"small{count}", card, options.workers)
            print(f"{count} pairs of 48x32, peak MB: {found}")


if __name__ == "__main__":
    main()
