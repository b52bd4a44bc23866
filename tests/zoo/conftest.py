"""A catalog of small networks, and a server on this machine that has their files."""

from hashlib import sha256

import pytest
import torch
from helpers.file_server import FileServer
from helpers.plain_nets import CSAILDecoder, CSAILEncoder, MMSegmentation, randomize

import psp.zoo.catalog
from psp.data.cardfile import find_card

VOC = find_card("voc2012")
GONE = "http://127.0.0.1:1/old/"


ENTRY = """
[weights.{name}]
publisher = "{kind}"
card = "voc2012"
backbone = "{backbone}"
files = [{files}]
crop = 65
base_size = 96
megabytes = 1
scores = [{{ miou = 50.0, procedure = "one scale" }}]
"""


PUBLISHER = """
[publishers.{name}]
title = "A {kind} of this machine"
page = "https://example.org/{kind}"
kind = "{kind}"
addresses = [{addresses}]
terms = "as you like"
read_in = "a test"
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The files of two small networks: an mmsegmentation one, and CSAIL's two halves."""
    folder = tmp_path_factory.mktemp("published")

    def save(name, network, **beside):
        state = {n: t.half() if t.is_floating_point() else t for n, t in network.items()}
        torch.save({**beside, "state_dict": state} if beside else state, folder / name)

    mmseg = randomize(MMSegmentation(18, 21)).state_dict()
    save("mm.pth", mmseg, meta={"CLASSES": VOC.names})
    save("encoder_epoch_20.pth", randomize(CSAILEncoder(18), 1).state_dict())
    save("decoder_epoch_20.pth", randomize(CSAILDecoder(512, 21), 2).state_dict())
    save("classifier.pth", {"conv1.weight": torch.zeros(3), "fc.weight": torch.zeros(3, 3)})
    (folder / "page.pth").write_text("<html>Please log in</html>")
    yield folder
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
def publisher(published):
    server = FileServer(published)
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PSP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def catalog(tmp_path, monkeypatch, publisher, published, cache):
    """A catalog of two entries that the server has, and of some that cannot be had."""

    def entry(name, kind, *files, backbone="resnet18", more=""):
        listed = ", ".join(f'{{ path = "{file}", sha256 = "{digits}" }}' for file, digits in files)
        return ENTRY.format(name=name, kind=kind, files=listed, backbone=backbone) + more

    digits = sha256((published / "mm.pth").read_bytes()).hexdigest()[:8]
    here = f'"{publisher.address}/"'
    text = "version = 1\n" + PUBLISHER.format(name="csail", kind="csail", addresses=here)
    text += PUBLISHER.format(name="mmsegmentation", kind="mmsegmentation", addresses=here)
    moved = f'"{GONE}", {here}'  # nobody listens at the first
    text += PUBLISHER.format(name="moved", kind="mmsegmentation", addresses=moved)
    text += entry("moved-mmseg", "moved", ("mm.pth", digits))
    text += entry("moved-other", "moved", ("mm.pth", "01234567"))
    text += entry("small-mmseg", "mmsegmentation", ("mm.pth", digits))
    text += entry(
        "small-csail", "csail", ("encoder_epoch_20.pth", ""), ("decoder_epoch_20.pth", "")
    )
    text += entry("gone", "mmsegmentation", ("gone.pth", digits))
    text += entry("other", "mmsegmentation", ("mm.pth", "01234567"))
    text += entry("deeper", "mmsegmentation", ("mm.pth", digits), backbone="resnet50")
    text += entry("corners", "mmsegmentation", ("mm.pth", digits), more="align_corners = true\n")
    text += entry("stem", "mmsegmentation", ("mm.pth", digits), more='stem = "7x7"\n')
    text += entry("classifier", "mmsegmentation", ("classifier.pth", ""))
    text += entry("page", "mmsegmentation", ("page.pth", ""))
    path = tmp_path / "catalog.toml"
    path.write_text(text)
    monkeypatch.setattr(psp.zoo.catalog, "CATALOG", path)
    return path
