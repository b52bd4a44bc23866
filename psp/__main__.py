"""`python -m psp` is `psp`."""

from psp.cli import main

main()
