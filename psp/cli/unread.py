"""How a command ends whose results nobody reads any more, such as psp cards | head."""

import os
import signal
import sys
from typing import NoReturn


def end_without_reader() -> NoReturn:
    """End as SIGPIPE does: whoever reads what goes to stdout has ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes once more when it ends
    sys.exit(128 + signal.SIGPIPE)
