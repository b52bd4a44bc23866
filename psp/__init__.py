"""psp: the pyramid scene parsing network as a tool.

The command line is `psp` (also `python -m psp`); `psp.cli` holds it. Importing the package itself
loads nothing heavy.
"""

__version__ = "0.1.0"
