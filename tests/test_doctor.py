"""psp doctor: each thing is fine, or there is something to do; and it never fails itself."""

import errno
import json
import subprocess
import sys
import time

import pytest

import psp
from psp import doctor
from psp.doctor import BAD, NOTE, OK, examine, lock_problem
from psp.workers import cgroup_limit

SUBJECTS = {
    "psp", "Python", "torch", "numpy", "cv2", "h5py", "onnx", "openvino", "tensorboard",
    "pillow_heif", "cores", "memory", "runs/", "data/", "cache", "file locks", "locale",
}  # fmt: skip


def found(subject):
    return next(finding for finding in examine() if finding.subject == subject)


def fast(monkeypatch, code="raise ImportError('libcudart is missing')"):
    """Ask torch nothing, and load no library: the real questions take seconds."""
    monkeypatch.setattr(doctor, "import_problem", lambda module: None)
    monkeypatch.setattr(doctor, "ASK_TORCH", code)


def test_all_is_looked_at_and_something_to_do_has_a_remedy(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    fast(monkeypatch)
    findings = examine()
    assert {finding.subject for finding in findings} >= SUBJECTS
    for finding in findings:
        assert finding.state in (OK, NOTE, BAD) and finding.text
        assert finding.remedy or finding.state == OK
    assert not list(tmp_path.iterdir())


def test_a_torch_that_cannot_be_imported_stops_psp(psp, monkeypatch):
    fast(monkeypatch)
    code, out, _ = psp("doctor", "--json")
    torch = next(item for item in json.loads(out) if item["subject"] == "torch")
    assert code == 2 and torch["state"] == BAD
    assert "libcudart is missing" in torch["text"] and "pip install torch" in torch["remedy"]
    code, out, _ = psp("doctor")
    assert code == 2 and "libcudart" in out and out.splitlines()[-1].endswith("torch")


@pytest.mark.slow
def test_a_driver_that_hangs_is_not_waited_for(monkeypatch):
    fast(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(doctor, "TORCH_SECONDS", 0.5)
    begin = time.monotonic()
    torch = found("torch")
    assert torch.state == BAD and "nvidia-smi" in torch.remedy
    assert time.monotonic() - begin < 20


def test_a_library_that_cannot_be_loaded_is_a_finding():
    assert doctor.import_problem("h5py") is None
    assert "nowhere_at_all" in (doctor.import_problem("nowhere_at_all") or "")


def test_what_torch_says_becomes_findings(psp, monkeypatch):
    said = {
        "version": "2.9", "built_for": "13.0", "hip": None, "cuda": True, "mps": False,
        "devices": [["H100 \x1b[31m", 80e9]], "bf16": True, "distributed": True,
    }  # fmt: skip
    fast(monkeypatch, f"print({json.dumps(said)!r})")
    assert "H100" in found("CUDA").text and "\x1b" not in found("CUDA").text
    assert found("precision").text == "bf16"
    fast(monkeypatch, f"print({json.dumps({**said, 'cuda': False})!r})")
    assert psp("doctor", check=0)[1].count("stops psp") == 0
    monkeypatch.setattr(doctor, "driver_version", lambda: "570.1")
    assert found("CUDA").state == NOTE and "driver" in found("CUDA").remedy


def test_folders_that_cannot_be_written_are_named(monkeypatch, tmp_path):
    fast(monkeypatch)
    monkeypatch.setenv("PSP_CACHE", "/proc/psp")
    assert found("cache").state == NOTE and "PSP_CACHE" in found("cache").remedy
    monkeypatch.setenv("PSP_CACHE", str(tmp_path / "not/yet"))
    assert found("cache").state == OK and not (tmp_path / "not").exists()


def test_a_file_system_without_locks_is_named(monkeypatch, tmp_path):
    assert lock_problem(tmp_path) is None

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert "No locks available" in lock_problem(tmp_path)


def test_the_limit_of_a_container_is_read(tmp_path):
    first, second = str(tmp_path / "max"), str(tmp_path / "limit")
    assert cgroup_limit((first, second)) is None
    (tmp_path / "limit").write_text("2000000000\n")
    assert cgroup_limit((first, second)) == 2_000_000_000
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("9223372036854771712\n")
    assert cgroup_limit((first, second)) is None


def test_windows_is_refused_in_one_line():
    """Nothing that Windows lacks is loaded before."""
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from psp.cli import main\n"
        "sys.platform = 'win32'\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "WSL" in done.stderr and len(done.stderr.splitlines()) == 1
    assert psp.__version__  # the package itself can be imported anywhere
