"""Several ranks on one machine, by torchrun's own launcher: `psp train --gpus N`."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from psp.errors import PspError
from psp.ranks import ranks_here, under_torchrun
from psp.workers import cores

STOP_SECONDS = 300  # what a step and a checkpoint may take after a stop


def check_gpus(gpus: int, device: str) -> None:
    """Raise PspError if --gpus contradicts torchrun or --device, or there are not as many GPUs."""
    if under_torchrun():
        if gpus != ranks_here():
            raise PspError(
                f"--gpus {gpus}: torchrun started {ranks_here()} ranks here. Leave --gpus out"
            )
        return
    if device not in ("auto", "cuda"):
        raise PspError(
            f"--gpus {gpus} --device {device}: --gpus trains on CUDA devices. Leave --device out"
        )
    if (count := torch.cuda.device_count()) < gpus:
        raise PspError(f"--gpus {gpus}: torch sees {count} CUDA devices here. See: psp doctor")


def launch(ranks: int, arguments: Sequence[str]) -> int:
    """Run `psp` with `arguments` as so many ranks of one group, and return the exit code.

    It is that of the rank that failed first, 128 + n where signal n ended it. Signals that stop a
    training are passed on to the ranks.
    """
    logging.disable(logging.ERROR)  # the launcher's own messages; the ranks print what is wrong
    # As torchrun does, except for the threads: one a process would leave cores idle.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // ranks)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(STOP_SECONDS))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,
    )
    before = signal.signal(signal.SIGUSR1, _raise)  # the launcher itself knows the others
    try:
        elastic_launch(config, sys.executable)("-m", "psp", *arguments)
    except ChildFailedError as error:
        code: int = error.get_first_failure()[1].exitcode
        return code if code >= 0 else 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    finally:
        signal.signal(signal.SIGUSR1, before)
        logging.disable(logging.NOTSET)
    return 0


def _raise(number: int, frame: object) -> None:
    raise SignalException("a signal of a scheduler", signal.Signals(number))
