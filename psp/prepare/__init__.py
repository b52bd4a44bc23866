"""From an official download to HDF5 shards: `walk` does it, a reader per layout finds the files."""

from psp.prepare.walk import Done, OccupiedError, Planned, prepare

__all__ = ["Done", "OccupiedError", "Planned", "prepare"]
