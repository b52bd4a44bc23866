"""Downloads appear whole and with the expected checksum, or not at all."""

import os
import threading
from hashlib import sha256

import pytest
import torch
from helpers.file_server import FileServer

from psp.errors import PspError
from psp.zoo.fetch import DownloadError, digits_in_name, fetch_file, torch_hub_path

DATA = b"weights" * 100_000
DIGEST = sha256(DATA).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "published").mkdir()
    (tmp_path / "published/resnet.pth").write_bytes(DATA)
    server = FileServer(tmp_path / "published")
    yield server
    server.close()


@pytest.fixture
def address(server):
    return f"{server.address}/resnet.pth"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache/checkpoints/resnet.pth"  # in a folder that does not exist yet


def files(path):
    return sorted(p.name for p in path.parent.iterdir()) if path.parent.exists() else []


@pytest.mark.parametrize("digits", [8, 64])
def test_a_file_is_fetched_once_and_compared_with_the_published_digits(
    server, address, path, digits
):
    said = []
    for _ in range(2):
        fetch_file(address, path, DIGEST[:digits], said.append)
    assert path.read_bytes() == DATA and files(path) == ["resnet.pth"]
    assert server.asked == ["resnet.pth"]
    assert len(said) == 1 and address in said[0]


@pytest.mark.slow
def test_a_file_that_is_there_already_needs_no_network_but_the_right_digits(server, address, path):
    server.close()
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    fetch_file(address, path, DIGEST[:8])
    path.write_bytes(DATA[:-1])
    with pytest.raises(PspError) as error:
        fetch_file(address, path, DIGEST[:8])
    text = str(error.value)
    assert text.startswith(f"{path}: ") and address in text and DIGEST[:8] in text
    assert "Remove it" in text and path.read_bytes() == DATA[:-1]  # it is the user's, and stays


@pytest.mark.slow
@pytest.mark.parametrize("what", ["gone", "half", "dead", "other"])
def test_what_cannot_be_had_is_one_line_with_the_address_and_no_file(server, path, what):
    server.half = what == "half"
    if what == "dead":
        server.close()
    address = f"{server.address}/{'gone' if what == 'gone' else 'resnet'}.pth"
    with pytest.raises(DownloadError) as error:
        fetch_file(address, path, "01234567" if what == "other" else "")
    text = str(error.value)
    assert address in text and "\n" not in text
    assert {"gone": "404", "half": "broke off", "dead": "refused", "other": "01234567"}[
        what
    ] in text
    assert files(path) == []


def test_without_a_published_checksum_the_first_one_is_kept_and_compared(
    server, address, path, tmp_path
):
    said = []
    fetch_file(address, path, report=said.append)
    pin = path.with_name("resnet.pth.sha256")
    assert pin.read_text() == f"{DIGEST}  resnet.pth\n"  # as sha256sum writes it
    assert "no checksum" in said[-1] and str(pin) in said[-1]
    said.clear()
    fetch_file(address, path, report=said.append)
    assert said == []
    path.write_bytes(b"damaged")
    with pytest.raises(PspError) as error:
        fetch_file(address, path)
    assert str(path) in str(error.value) and pin.name in str(error.value)
    path.unlink()
    (tmp_path / "published/resnet.pth").write_bytes(b"another one")
    with pytest.raises(DownloadError) as error:
        fetch_file(address, path)
    assert address in str(error.value) and str(pin) in str(error.value)
    assert files(path) == [pin.name]
    pin.write_text("<html>")
    with pytest.raises(PspError) as error:
        fetch_file(address, path)
    assert str(error.value).startswith(f"{pin}: ") and "Remove it" in str(error.value)


def test_a_file_of_torch_hub_is_taken_and_its_checksum_kept(server, address, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = torch_hub_path("resnet.pth")
    assert path == tmp_path / "torch/hub/checkpoints/resnet.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    said = []
    fetch_file(address, path, report=said.append)
    assert server.asked == [] and files(path) == ["resnet.pth", "resnet.pth.sha256"]
    assert len(said) == 1 and "no checksum" in said[0]


def test_a_cache_that_cannot_be_written_still_gives_its_files(server, address, path, monkeypatch):
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    path.with_name("resnet.pth.sha256.tmp").mkdir()  # in the way, as root may write everywhere
    said = []
    fetch_file(address, path, report=said.append)
    assert len(said) == 1 and "resnet.pth.sha256" in said[0]


def test_several_at_once_all_have_it_whole(server, address, path):
    server.stall = True
    errors = []

    def fetch():
        try:
            fetch_file(address, path, DIGEST[:8])
        except PspError as error:
            errors.append(error)

    pid = os.fork()
    if pid == 0:  # another process, as another rank is
        try:
            fetch_file(address, path, DIGEST[:8])
        finally:
            os._exit(0 if path.is_file() else 1)
    thread = threading.Thread(target=fetch)
    thread.start()
    while len(server.asked) < 2:
        assert thread.is_alive()
    server.go.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert not errors and path.read_bytes() == DATA and files(path) == ["resnet.pth"]


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61"),
        ("https://example.org/a/pspnet_r50-d8_20200615_184358-1890b0bd.pth", "1890b0bd"),
        ("https://huggingface.co/timm/resnet50s.gluon_in1k/resolve/main/model.safetensors", ""),
        ("https://example.org/encoder-epoch_20.pth", ""),
    ],
)
def test_digits_in_a_name(name, digits):
    assert digits_in_name(name) == digits


@pytest.mark.parametrize(
    ("value", "allowed"), [("1", False), ("yes", False), ("0", True), ("", True)]
)
def test_nothing_is_asked_for_offline(tmp_path, monkeypatch, value, allowed):
    monkeypatch.setenv("PSP_OFFLINE", value)
    asked = []

    def ask(*arguments, **options):
        asked.append(arguments)
        raise OSError("no network in a test")

    monkeypatch.setattr("urllib.request.urlopen", ask)
    with pytest.raises(DownloadError) as error:
        fetch_file("https://example.org/a.pth", tmp_path / "a.pth", "ab")
    assert bool(asked) == allowed
    assert ("PSP_OFFLINE" in str(error.value)) != allowed
    assert list(tmp_path.iterdir()) == []
