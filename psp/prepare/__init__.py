"""From an official download to HDF5 shards: `walk` does it, one reader per raw layout finds the files."""

from psp.prepare.walk import Done, Planned, prepare

__all__ = ["Done", "Planned", "prepare"]
