"""What psp needs of a machine, checked one by one: fine, of interest, or what to do.

Nothing here loads more than it asks about, a library that cannot be imported is a finding, and what
could hang is asked of another process that is ended after a while.
"""

import json
import locale
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from psp.errors import PspError, printable
from psp.runs import RUNS
from psp.version import __version__
from psp.workers import available_memory, cgroup_limit, cores
from psp.zoo.catalog import cache_folder

OK, NOTE, BAD = "ok", "note", "stops psp"
TORCH_SECONDS = 90  # for importing torch and asking the driver, on a slow disk
GB = 1e9
LITTLE_MEMORY, LITTLE_SHARED, LITTLE_DISK = 4 * GB, 0.5 * GB, 2 * GB
DATA = Path("data")
# What psp cannot do without; torch is asked apart.
NEEDED = {"numpy": "numpy", "cv2": "opencv-python-headless", "h5py": "h5py", "PIL": "pillow"}
NEEDED |= {"safetensors": "safetensors", "scipy": "scipy", "jinja2": "jinja2"}
NEEDED |= {"matplotlib": "matplotlib", "zstandard": "zstandard"}
# What it can: the module, and the command that installs it with what it is for.
EXTRAS = {
    "onnx": ("onnx onnxruntime", "psp export"),
    "onnxruntime": ("onnx onnxruntime", "psp export, and -m model.onnx"),
    "openvino": ("openvino", "--engine openvino"),
    "tensorboard": ("tensorboard", "--set tensorboard=true"),
    "pillow_heif": ("pillow-heif", "HEIC photos of phones"),
}
ASK_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__, "built_for": torch.version.cuda, "hip": torch.version.hip,
    "cuda": cuda, "mps": torch.backends.mps.is_available(),
    "devices": [[torch.cuda.get_device_name(i), torch.cuda.get_device_properties(i).total_memory]
                for i in range(torch.cuda.device_count())] if cuda else [],
    "bf16": cuda and torch.cuda.is_bf16_supported(False),
    "distributed": torch.distributed.is_available()}))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `state` is OK, NOTE (psp works without it) or BAD.

    `remedy` says what to do; it is empty where nothing is.
    """

    subject: str
    state: str
    text: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def examine(report: Callable[[Finding], None] = lambda finding: None) -> list[Finding]:
    """Check everything, and return what was found; each finding is also reported at once."""
    findings = []
    for check in (
        _python,
        _torch,
        _libraries,
        _extras,
        _processor,
        _memory,
        _shared_memory,
        _folders,
        _locks,
        _locale,
    ):
        try:
            found = list(check())
        except (
            OSError,
            ValueError,
            subprocess.SubprocessError,
            PspError,
        ) as error:  # a check that fails is no crash of psp
            subject = check.__name__.strip("_").replace("_", " ")
            found = [Finding(subject, NOTE, f"could not be checked: {printable(str(error))}")]
        for finding in found:
            report(finding)
        findings += found
    return findings


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("psp", OK, f"{__version__} in {printable(str(Path(__file__).parent))}")
    text = f"{version}, {platform.system()} {platform.machine()}, {printable(sys.executable)}"
    yield Finding("Python", OK, text)


def _torch() -> Iterator[Finding]:
    install = "Install it: pip install torch (see https://pytorch.org for CUDA or CPU only)"
    try:
        asked = subprocess.run(
            [sys.executable, "-P", "-c", ASK_TORCH],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TORCH_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        remedy = "Look at nvidia-smi: a driver that hangs needs a restart of the machine"
        yield Finding("torch", BAD, f"does not answer within {TORCH_SECONDS} seconds", remedy)
        return
    try:
        said = json.loads(asked.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        lines = [line for line in asked.stderr.splitlines() if line.strip()]
        reason = printable(lines[-1].strip()) if lines else f"ended with code {asked.returncode}"
        missing = util.find_spec("torch") is None
        remedy = install if missing else install.replace("Install it", "Install it again", 1)
        yield Finding("torch", BAD, f"cannot be used: {reason}", remedy)
        return
    built = f"built for CUDA {said['built_for']}" if said["built_for"] else "built without CUDA"
    yield Finding("torch", OK, f"{said['version']}, {built}")
    yield from _accelerator(said)
    if not said["distributed"]:
        yield Finding("several GPUs", NOTE, "this torch cannot train on several")


def _accelerator(said: dict[str, Any]) -> Iterator[Finding]:
    driver = driver_version()
    if said["cuda"]:
        gpus = ", ".join(
            f"{printable(name)} with {size / GB:.0f} GB" for name, size in said["devices"]
        )
        yield Finding("CUDA", OK, f"{gpus}; driver {driver or 'unknown'}")
        precision = "bf16" if said["bf16"] else "fp32; this GPU does not compute in bf16"
        yield Finding("precision", OK, precision)
    elif driver:
        if said["built_for"]:
            remedy = "Update the driver, or install a torch for an older CUDA (https://pytorch.org)"
        else:
            remedy = "Install a torch with CUDA: https://pytorch.org"
        yield Finding("CUDA", NOTE, f"driver {driver} is here, but torch cannot use it", remedy)
    elif said["mps"]:
        yield Finding("GPU", OK, "Apple's, as --device mps")
    else:
        yield Finding(
            "CUDA",
            NOTE,
            "no GPU: training takes hours to days on a CPU",
            "Predicting works well; train on a machine with a GPU",
        )


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver, without loading it; None if there is none."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    numbers = [word for word in text.split() if word[0].isdigit() and "." in word]
    return printable(numbers[0]) if numbers else "unknown"


def _libraries() -> Iterator[Finding]:
    for module, package in NEEDED.items():
        problem = None if util.find_spec(module) else "is not installed"
        # OpenCV and h5py come with libraries in C that may not fit the system: these are loaded.
        if problem is None and module in ("cv2", "h5py"):
            problem = import_problem(module)
        if problem:
            remedy = f"Install it again: pip install --force-reinstall {package}"
            yield Finding(module, BAD, problem, remedy)
        else:
            yield Finding(module, OK, _version(package) or "a version of its own")


def import_problem(module: str) -> str | None:
    """Return why a module cannot be imported, None if it can: asked of another process."""
    command = [sys.executable, "-P", "-c", f"import {module}"]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    lines = done.stderr.strip().splitlines() or [f"ends with code {done.returncode}"]
    return printable(lines[-1]) if done.returncode else None


def _version(package: str) -> str | None:
    """Return the version of an installed package; OpenCV has several."""
    names = [package]
    if package.startswith("opencv"):
        names += ["opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"]
    for name in names:
        try:
            return (
                f"{metadata.version(name)} ({name})" if name != package else metadata.version(name)
            )
        except metadata.PackageNotFoundError:
            continue
    return None


def _extras() -> Iterator[Finding]:
    for module, (packages, purpose) in EXTRAS.items():
        if util.find_spec(module):
            text = _version(module.replace("_", "-")) or "there"
            yield Finding(module, OK, f"{text} (for {purpose})")
        else:
            text = f"not installed; needed for {purpose} alone"
            yield Finding(module, NOTE, text, f"pip install {packages}")


def _processor() -> Iterator[Finding]:
    here, machine = cores(), os.cpu_count() or 1
    of = f" of this machine's {machine}" if machine > here else ""
    yield Finding("cores", OK, f"{here}{of}")


def _memory() -> Iterator[Finding]:
    limit = cgroup_limit()
    free = available_memory()
    texts = [f"{free / GB:.1f} GB free"] if free is not None else []
    if limit is not None:
        texts.append(f"limited to {limit / GB:.1f} GB for this container or job")
    least = min(value for value in (free, limit, 1 << 62) if value is not None)
    text = ", ".join(texts) or "unknown"
    if least < LITTLE_MEMORY:
        yield Finding(
            "memory", NOTE, text, "Use small --crop, --batch and --workers, or a larger machine"
        )
    else:
        yield Finding("memory", OK, text)


def _shared_memory() -> Iterator[Finding]:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return  # not Linux: batches travel another way
    free = shutil.disk_usage(folder).free
    text = f"{free / GB:.1f} GB free"
    if free < LITTLE_SHARED:
        yield Finding(
            "/dev/shm",
            NOTE,
            f"{text}: little room for the batches that processes load",
            "A container gets more with: docker run --shm-size 8g; or --workers 0",
        )
    else:
        yield Finding("/dev/shm", OK, text)


def _folders() -> Iterator[Finding]:
    for name, folder in (("runs/", RUNS), ("data/", DATA), ("cache", cache_folder())):
        there = next(
            path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
        )
        shown = printable(str(folder))
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"psp")
        except OSError as error:
            remedy = "Set PSP_CACHE=DIR" if name == "cache" else "Work in a folder of your own"
            if name != "cache":
                remedy += ", or name one with -o"
            text = f"{shown}: cannot be written: {error.strerror}"
            yield Finding(name, NOTE, text, remedy)
            continue
        free = shutil.disk_usage(there).free
        text = f"{shown}: {free / GB:.1f} GB free"
        if free < LITTLE_DISK:
            yield Finding(name, NOTE, text, "A run needs up to 2 GB, shards as much as pictures")
        else:
            yield Finding(name, OK, text)


def _locks() -> Iterator[Finding]:
    there = RUNS if RUNS.is_dir() else Path()
    problem = lock_problem(there)
    if problem:
        yield Finding(
            "file locks",
            NOTE,
            f"{there.absolute()}: {problem}",
            "Never start two trainings with the same -o here",
        )
    else:
        yield Finding("file locks", OK, "keep two trainings out of one folder")


def lock_problem(folder: Path) -> str | None:
    """Return why files in a folder cannot be locked, None if they can."""
    import fcntl  # here, as Windows has none

    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return f"no locks: {error.strerror}"
    return None


def _locale() -> Iterator[Finding]:
    files, terminal = sys.getfilesystemencoding(), locale.getpreferredencoding(False)
    if {files.lower(), terminal.lower()} <= {"utf-8", "utf8"}:
        yield Finding("locale", OK, "UTF-8")
    else:
        yield Finding(
            "locale",
            NOTE,
            f"{terminal}: names with accents are shown escaped",
            "export LC_ALL=C.UTF-8",
        )
