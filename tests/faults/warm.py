"""A process that has imported psp and torch once, and forks a child for each command.

So a command that is killed after a few milliseconds has cost a few milliseconds. It reads requests
from stdin and answers on stdout, a line of JSON each; `victims.py` is the other side. It starts no
threads itself, so that its children are as a new process is.
"""

import atexit
import gc
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

if "PSP_FAULT" in os.environ and __name__ != "__main__":
    # A process that a victim has started: multiprocessing imports the victim's main module there.
    from injection import install

    install(**json.loads(os.environ["PSP_FAULT"]))


def imported():
    """Import what the commands use."""
    import importlib

    for name in (
        "torch._inductor.config",  # torch imports it at the first step of a training
        "torch.distributed.fsdp",
        "torch.nn.parallel",
        "torch.utils.data",
        "safetensors.torch",
        "multiprocessing.forkserver",
        "concurrent.futures.process",
        "psp.cli",
        "psp.cli.console",
        "psp.cli.tables.data",
        "psp.cli.tables.models",
        "psp.cli.tables.scores",
        "psp.data.verify",
        "psp.evaluate.evaluate",
        "psp.model.summary",
        "psp.predict.pipeline",
        "psp.prepare.pipeline",
        "psp.train.launch",
        "psp.train.loop",
        "psp.train.request",
        "psp.zoo.find",
    ):
        importlib.import_module(name)
    importlib.import_module("PIL.Image").init()


def start(request):
    """Fork a child for a command. Return its process id, and 0 in the child."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        handle = os.open(path, flags)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115 - for as long as it lives
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if request["fault"]:
        from injection import install

        os.environ["PSP_FAULT"] = json.dumps(request["fault"])
        install(**request["fault"])
    return 0


def wait(child, seconds):
    """Return the status of a child, killed after so many seconds; None then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def serve():
    """Answer requests; return the arguments of a command in the child that is to run it."""
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "args" in request:
            child = start(request)
            if child == 0:
                return request["args"]
            answer = child
        else:
            answer = wait(request["wait"], request["seconds"])
        print(json.dumps(answer), flush=True)
    return None


def main():
    """Serve, and in a child run the command."""
    imported()
    gc.freeze()  # what is loaded stays: no child need look at it, which would copy the memory
    print("ready", flush=True)
    arguments = serve()
    if arguments is None:
        return
    sys.argv = ["psp", *arguments]
    from psp.cli import program as psp

    try:
        psp()
    except SystemExit as end:
        leave(end.code)


def leave(code):
    """End as Python does, but do not free what the warm process has loaded: it takes a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    main()
