"""Run psp prepare in a process of its own, with limits on time and memory."""

import multiprocessing
import os
import resource
import traceback
import warnings

from psp.errors import PspError
from psp.events import Notice

SECONDS = 30  # after which a variant counts as hanging
MEMORY = 700 << 20  # bytes that a tree of a few small pictures may add to the largest so far
ADDRESSES = 6 << 30  # bytes that the worker may map at most, so that the machine survives
IGNORE = 255


class Worker:
    """A process that converts one tree after the other; one that hangs or dies is replaced."""

    def __init__(self):
        self.process = None

    def convert(self, tree, out, options):
        """Prepare a tree within the limits; return what came of it."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, end = context.Pipe()
            self.process = context.Process(target=serve, args=(end,))
            self.process.start()
            end.close()
            self.pipe.recv()  # imports are not what is timed
        self.pipe.send((tree, out, options))
        try:
            if self.pipe.poll(SECONDS):
                return self.pipe.recv()
            answer = {"end": "hung", "message": f"no end after {SECONDS} s"}
        except EOFError:
            answer = {"end": "died", "message": "the process died"}
        self.close()
        return answer

    def close(self):
        if self.process is not None:
            self.pipe.close()
            self.process.kill()
            self.process.join()
            self.process = None


def serve(pipe):
    """In a process of its own: answer until nobody asks."""
    from psp.prepare.pipeline import prepare

    # A bomb must break in this process and not on the machine.
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    pipe.send("ready")
    while True:
        try:
            tree, out, options = pipe.recv()
        except EOFError:
            return
        with out.with_name("said.txt").open("wb") as said:
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
        pipe.send(attempt(prepare, tree, out, options))


def attempt(prepare, tree, out, options):
    remarks = []

    def report(event):
        if isinstance(event, Notice):
            remarks.append(event.text)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            prepare(tree.card, tree.root, out, sbd=tree.sbd, report=report, **options)
            answer = {"end": "prepared", "message": ""}
        except PspError as error:
            answer = {"end": "refused", "message": str(error)}
        except BaseException as error:
            text = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
            answer = {"end": "raised", "message": text}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    printed = [f"{one.category.__name__}: {one.message}" for one in warned]
    # Linux counts in KiB.
    return answer | {"remarks": remarks, "warned": printed, "memory": (after - before) << 10}
