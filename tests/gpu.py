"""All that wants a GPU, in under ten minutes: python tests/gpu.py [-o docs/gpu.md]

Runs the tests with the marker `cuda` and the benchmarks on the device, one command after the other,
and writes what each printed, with the device and the versions. Exit code 1 if one of them failed.
`--device cpu` is a rehearsal with tiny sizes, for machines without a GPU.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
BUDGET = 570  # seconds for all commands
LINES = 45  # of a command's output that are kept, its last ones
TINY = ["--crop", "57", "--backbone", "resnet18"]


def commands(device, authors):
    """Return the title and the arguments of python of each command."""
    rehearsal = TINY if device == "cpu" else []
    theirs = ["--authors", str(authors)] if authors else []
    few = ["--batch", "2", "--steps", "12", "--pairs", "4", "--workers", "1"]
    train = ["tests/benchmarks/throughput.py", "--device", device, *rehearsal, *theirs]
    train += few if rehearsal else ["--steps", "90"]
    infer = ["tests/benchmarks/device.py", "--device", device, *rehearsal, *theirs]
    infer += ["--size", "96x80", "--runs", "1"] if rehearsal else []
    return [
        ("Tests", ["-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", *marked()]),
        ("Inference", infer),
        ("Training", train),
        *([] if rehearsal else [("Training, compiled", [*train, "--compile"])]),
    ]


def marked():
    """Return the test files with the marker: to collect all takes minutes."""
    files = sorted((ROOT / "tests").glob("*/test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "mark.cuda" in file.read_text()]


def facts(device):
    """Return lines about the machine and the versions."""
    lines = [f"torch {torch.__version__}, Python {platform.python_version()}, {platform.system()}"]
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        lines[:0] = [
            f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, capability {gpu.major}.{gpu.minor}"
        ]
        lines.append(f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    else:
        lines[:0] = [f"a rehearsal on the CPU ({os.cpu_count()} cores): no GPU has run this"]
    done = subprocess.run(
        ["git", "log", "-1", "--format=commit %h of %cs"], cwd=ROOT, capture_output=True, text=True
    )
    return [
        *lines,
        done.stdout.strip() or "not in a git checkout",
        time.strftime("run on %Y-%m-%d"),
    ]


def run(arguments, device, seconds):
    """Run python in the checkout; return whether it went well, its seconds, and its last lines."""
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PSP_TEST_DEVICE": device, "PYTHONPATH": os.pathsep.join(paths)}
    begin = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=max(1, seconds),
        )
        code, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, text = None, (error.stdout or b"").decode(errors="replace")
    lines = text.rstrip().splitlines()[-LINES:]
    if code is None:
        lines.append(f"[stopped after {seconds:.0f} s: the ten minutes are over]")
    return code == 0, time.monotonic() - begin, lines


def main() -> int:
    """Run all, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--authors", type=Path, metavar="DIR")
    parser.add_argument("--only", metavar="TITLE", help="of the commands, those that begin so")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "docs/gpu.md")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here. A rehearsal: --device cpu -o FILE")
    if options.device == "cpu" and options.out == ROOT / "docs/gpu.md":
        parser.error("a rehearsal says nothing of GPUs. Name another file: -o FILE")
    page, begin, good = ["# On a GPU", ""], time.monotonic(), True
    page += [f"- {line}" for line in facts(options.device)]
    for title, arguments in commands(options.device, options.authors):
        if not title.startswith(options.only or ""):
            continue
        print(f"{title} ...", flush=True)
        left = BUDGET - (time.monotonic() - begin)
        fine, seconds, lines = run(arguments, options.device, left)
        good &= fine
        verdict = "" if fine else ", FAILED"
        print(f"{title}: {seconds:.0f} s{verdict}", flush=True)
        page += ["", f"## {title}", "", f"{seconds:.0f} s{verdict}", ""]
        page += [f"    $ python {' '.join(arguments)}", *(f"    {line}" for line in lines)]
    options.out.write_text("\n".join(page) + "\n", encoding="utf-8")
    print(f"written: {options.out}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
