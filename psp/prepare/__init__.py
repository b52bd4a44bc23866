"""From an official download to HDF5 shards.

A reader per layout names the files, `plan` counts them, `convert` checks and remaps a pair,
`workers` runs that on all cores, `walk` writes the shards, `place` guards the output folder.
"""

from psp.prepare.convert import Conversion
from psp.prepare.place import OccupiedError
from psp.prepare.walk import AuditError, BadPair, Done, Planned, prepare

__all__ = [
    "AuditError", "BadPair", "Conversion", "Done", "OccupiedError", "Planned", "prepare",
]  # fmt: skip
