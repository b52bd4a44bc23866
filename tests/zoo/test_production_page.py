"""The program of docs/production.md, which needs no psp, writes what psp predict writes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.photos import save
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs/production.md"
PROGRAM = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]


def test_the_program_imports_onnxruntime_numpy_and_pillow_alone():
    imported = set(re.findall(r"^(?:import|from) (\w+)", PROGRAM, re.MULTILINE))
    assert imported == {"json", "sys", "numpy", "onnxruntime", "PIL"}


def test_the_program_writes_the_labels_of_psp(tmp_path, journey, psp):
    pytest.importorskip("onnxruntime")
    (tmp_path / "label.py").write_text(PROGRAM)
    psp("export", journey.folder / "run", "net.onnx", "--include", "preprocess", check=0)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "photos/large.png", (97, 60), exif=exif)
    save(tmp_path / "photos/small.png", (30, 90))
    psp("predict", "photos", "-m", "net.onnx", "-o", "out", "--blend", "uniform", check=0)
    for name in ("large", "small"):
        done = subprocess.run(
            [sys.executable, "label.py", "net.onnx", f"photos/{name}.png", f"{name}.png"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found, expected = (
            Image.open(tmp_path / path) for path in (f"{name}.png", f"out/labels/{name}.png")
        )
        assert found.size == expected.size
        assert found.getpalette()[:9] == expected.getpalette()[:9]
        assert np.mean(np.asarray(found) == np.asarray(expected)) > 0.999
