"""`python -m psp` is `psp`."""

from psp.cli import program

program()
