"""The procedures by name."""

from psp.errors import PspError
from psp.model.procedures.authors import CAFFE, TORCH
from psp.model.procedures.csail import CSAIL
from psp.model.procedures.mmseg import MMSEG, MMSEG_0
from psp.model.procedures.rules import Rules

PROCEDURES = {rules.name: rules for rules in (TORCH, CAFFE, MMSEG, MMSEG_0, CSAIL)}


def find_rules(name: str) -> Rules:
    """Return a procedure's rules. Raises PspError for an unknown name."""
    if name not in PROCEDURES:
        raise PspError(f"--procedure {name}: one of {', '.join(PROCEDURES)}.")
    return PROCEDURES[name]
