"""Kill a training again and again, and compare its end:

    python tests/fuzz/kills.py SHARDS --steps 200

One run is left alone; one with the same settings gets SIGKILL at a random moment, is resumed, and
so on until it is finished. Both must end with the same bytes of weights. Options behind `--` go to
psp train. The two runs share the machine unless --one-by-one is given.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def command(shards: Path, run: Path, options: list[str]) -> list[str]:
    """Return the call of psp train."""
    return [sys.executable, "-m", "psp", "train", str(shards), "-o", str(run), "-q", *options]


def start(call: list[str]) -> subprocess.Popen[bytes]:
    """Start it in a group of its own, so that its loaders die with it."""
    return subprocess.Popen(call, stderr=subprocess.PIPE, start_new_session=True)


def main() -> int:
    """Run, kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--every",
        type=float,
        nargs=2,
        default=(60, 240),
        metavar="SECONDS",
        help="shortest and longest time between kills",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one-by-one", action="store_true")
    own, _, further = " ".join(sys.argv[1:]).partition(" -- ")
    given = parser.parse_args(own.split())
    rng = random.Random(given.seed)
    options = ["--steps", str(given.steps), *further.split()]
    with tempfile.TemporaryDirectory() as folder:
        calm, killed = Path(folder, "calm"), Path(folder, "killed")
        alone = start(command(given.shards, calm, options))
        if given.one_by_one:
            alone.wait()
        kills, began, resumed_at = 0, time.monotonic(), []
        while True:
            again = ["--resume"] if any(killed.glob("checkpoints/*.pt")) else []
            if not again and killed.exists():
                subprocess.run(["rm", "-r", str(killed)], check=True)
            work = start(command(given.shards, killed, [*options, *again]))
            try:
                work.wait(rng.uniform(*given.every))
            except subprocess.TimeoutExpired:
                os.killpg(work.pid, signal.SIGKILL)
                work.wait()
                kills += 1
                newest = max(killed.glob("checkpoints/*.pt"), default=None)
                resumed_at.append(int(newest.stem) if newest else 0)
                print(f"kill {kills}, newest checkpoint {resumed_at[-1]}", flush=True)
                continue
            if work.returncode:
                print(work.stderr.read().decode())
                return 1
            break
        minutes = (time.monotonic() - began) / 60
        if alone.wait():
            print(alone.stderr.read().decode())
            return 1
        same = {
            name: Path(calm, name).read_bytes() == Path(killed, name).read_bytes()
            for name in ("best.safetensors", "last.safetensors")
        }
        print(f"{given.steps} steps, {kills} kills in {minutes:.1f} minutes; the same: {same}")
        return 0 if kills and all(same.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
