"""Commands that run in children of a warm process, and what became of them."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from faults.injection import RECORD
from helpers.plugin import PLUGIN

WARM = Path(__file__).with_name("warm.py")
FULL = os.environ.get("PSP_TEST_FAULTS") == "full"
PATIENCE = 120  # seconds: a command that takes longer hangs


@dataclass(frozen=True)
class End:
    """How a command ended; the code is negative where a signal ended it."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def killed(self):
        """Whether it was running when the SIGKILL came."""
        return self.code == -signal.SIGKILL

    @property
    def lines(self):
        """What it said on stderr."""
        return [line for line in self.err.splitlines() if line.strip()]

    def __str__(self):
        return f"psp {' '.join(self.args)}: exit code {self.code}\n{self.out}{self.err}"


class Running:
    """A command under way."""

    def __init__(self, warm, pid, args, streams):
        self.warm, self.pid, self.args, self.streams = warm, pid, args, streams

    def signal(self, number, everything=False):
        """Send it a signal, or to all its processes, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if everything else os.kill)(self.pid, number)

    def end(self, seconds=PATIENCE):
        """Wait for it. It must not take longer than so many seconds."""
        code = self.warm.ask({"wait": self.pid, "seconds": seconds})
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self.streams)
        assert code is not None, f"psp {' '.join(self.args)} hangs:\n{out}{err}"
        return End(self.args, code, out, err)


class Warm:
    """The warm process. `folder` gets what the commands print."""

    def __init__(self, folder, env=()):
        self.folder, self.numbers = folder, itertools.count()
        path = [str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, str(WARM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(folder / "site"), *path]),
                "OMP_NUM_THREADS": "1",
                "COLUMNS": "300",
                "NO_COLOR": "1",
                **dict(env),
            },
        )
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, request):
        """Send a request and return the answer."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, *args, cwd, fault=None, limits=(), env=()):
        """Start `psp` with these arguments in the folder `cwd`."""
        args = tuple(map(str, args))
        number = next(self.numbers)
        streams = [self.folder / f"{number}.{name}" for name in ("out", "err")]
        request = {
            "args": args,
            "cwd": str(cwd),
            "out": str(streams[0]),
            "err": str(streams[1]),
            "env": dict(env),
            "limits": dict(limits),
            "fault": fault,
        }
        return Running(self, self.ask(request), args, streams)

    def run(self, *args, check=None, **options):
        """Run it to its end."""
        end = self.start(*args, **options).end()
        if check is not None:
            assert end.code == check, str(end)
        return end

    def calls(self, *args, cwd):
        """Run a command undisturbed; return its changes of the file system, and its seconds."""
        log = self.folder / f"{next(self.numbers)}.log"
        begin = time.monotonic()
        self.run(*args, cwd=cwd, fault={"root": str(cwd), "log": str(log)}, check=0)
        return calls_in(log), time.monotonic() - begin

    def at(self, number, *args, cwd, act="kill", before=True, **options):
        """Run a command that something happens to at its Nth change of the file system."""
        log = self.folder / f"{next(self.numbers)}.log"
        fault = {"root": str(cwd), "log": str(log), "at": number, "act": act, "before": before}
        return self.run(*args, cwd=cwd, fault=fault, **options)

    def close(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait(10)


def calls_in(log):
    """Return the calls that a log holds."""
    data = log.read_bytes()
    return [data[k : k + RECORD].decode().strip() for k in range(0, len(data), RECORD)]
