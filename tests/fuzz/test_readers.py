"""Some bad files for every reader; `python tests/fuzz/readers.py --examples 2000` has thousands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = os.environ.get("PSP_TEST_EXAMPLES", "25")


@pytest.mark.slow
def test_bad_files_are_refused_in_one_line(tmp_path):
    """In a process of its own, which has a limit of memory."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(tests), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, tests / "fuzz/readers.py", "--examples", EXAMPLES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
