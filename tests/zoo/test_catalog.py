"""The shipped catalog: consistent with itself, with the importers and cards, and with the docs."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers.plain_nets import CSAILDecoder, CSAILEncoder, MMSegmentation

import psp.zoo.catalog
from psp.data.cardfile import find_card, shipped
from psp.model.procedure import Procedure
from psp.model.pspnet import build
from psp.zoo.catalog import cache_folder, entries
from psp.zoo.importers.csail import read_csail
from psp.zoo.importers.mmseg import read_mmseg

CATALOG = entries()
DOCS = (Path(__file__).parents[2] / "docs/weights.md").read_text(encoding="utf-8")
# The publishers who state their addresses as plain http, and no other way.
PLAIN = {"http://sceneparsing.csail.mit.edu/model/pytorch/"}


@cache
def network(kind, depth, classes, stem):
    """Translate a network of that program, without values: its importer must exist.

    Once for each topology; an entry is held to that of its publisher, depth, stem and classes.
    """
    with torch.device("meta"):
        if kind == "csail":
            decoder = CSAILDecoder(2048 if depth >= 50 else 512, classes)
            return read_csail(CSAILEncoder(depth).state_dict(), decoder.state_dict())
        assert kind == "mmsegmentation"
        return read_mmseg(MMSegmentation(depth, classes, stem == "deep").state_dict())


@cache
def megabytes(architecture):
    """Return the size of the network's weights."""
    with torch.device("meta"):
        state = build(architecture).state_dict().values()
    return round(sum(t.numel() * t.element_size() for t in state) / 1e6)


@pytest.mark.slow
@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_an_entry_is_consistent(entry):
    assert re.fullmatch(
        r"[a-z0-9]+-r\d+b?-(csail|mmseg|syscv)(-512x1024)?(-[a-z0-9]+)?", entry.name
    )
    card, depth = entry.name.split("-")[:2]
    assert entry.card == card and entry.card in shipped()
    assert entry.backbone == f"resnet{depth[1:].removesuffix('b')}"
    assert entry.stem == ("7x7" if depth.endswith("b") else "deep")
    number = int(depth[1:].removesuffix("b"))
    found = network(entry.publisher.kind, number, len(find_card(card).classes), entry.stem)
    assert (found.kind, found.architecture.backbone) == (entry.publisher.kind, entry.backbone)
    assert found.architecture.stem == entry.stem
    assert entry.megabytes == megabytes(found.architecture)
    Procedure(entry.crop, entry.base_size)  # refuses what psp cannot do
    assert entry.base_size is None or entry.base_size >= entry.crop
    one, *several = entry.scores
    assert one.procedure == "one scale" and 30 < one.miou < 90
    for score in several:
        assert score.procedure.startswith("multi-scale") and one.miou < score.miou < 90
    # Of some networks the publisher measured one scale alone.
    assert len(several) == (not re.search("-fp16|-syscv", entry.name))
    assert entry.terms and entry.publisher.page.startswith("https://github.com/")


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_addresses_and_checksums_are_well_formed(entry):
    depth = entry.backbone.removeprefix("resnet")
    for file in entry.files:
        for address in file.addresses:
            https = address.startswith("https://")
            assert https or any(address.startswith(plain) for plain in PLAIN)
            assert re.fullmatch(r"https?://[a-z0-9.-]+(/[A-Za-z0-9._-]+)+\.pth", address)
            assert address.endswith(f"/{file.name}")
        b = "b?" if entry.stem == "7x7" else ""  # one file of torchvision's stem does not say so
        assert re.search(rf"(pspnet_r|/ade20k-resnet){depth}{b}(-d8|dilated)", file.address)
        # mmsegmentation's names end in the checksum's first eight digits.
        stated = re.search(r"-([0-9a-f]{8})\.pth$", file.address)
        assert file.sha256 == (stated[1] if stated else "")
        assert len(file.addresses) == (2 if "-mmseg" in entry.name else 1)
    if entry.publisher.kind == "csail":
        assert [file.name.partition("_")[0] for file in entry.files] == ["encoder", "decoder"]
        assert len({file.address.rpartition("/")[0] for file in entry.files}) == 1


MMSEG = {name: entry for name, entry in CATALOG.items() if entry.publisher.kind != "csail"}
WORDS = {"context60": "pascal_context", "context": "pascal_context_59", "voc2012": "voc12aug"}
USUAL = {"ade20k": 160, "voc2012": 40, "cocostuff10k": 40, "cocostuff164k": 320}


@pytest.mark.parametrize("entry", MMSEG.values(), ids=MMSEG)
def test_a_name_says_what_differs_from_its_publishers_usual_network(entry):
    (file,) = entry.files
    height, width = map(int, re.search(r"_(\d+)x(\d+)_", file.name).groups())
    # The square of as many pixels, of those that psp takes.
    assert abs(entry.crop - (height * width) ** 0.5) < 4 and entry.crop % 8 == 1
    # Its configurations of 769 align corners, the others do not; those of 480 have windows, too.
    assert entry.align_corners == (height == 769)
    windows = f"{width}x{height}" if height in (480, 769) else "whole"
    assert entry.procedure.windows == windows
    # The sizes of configs/_base_/datasets.
    streets = {769: "2049x1025", 512: "1280x720" if entry.card == "bdd100k" else "2048x1024"}
    wide = streets.get(height) if width > 768 else "520x520" if height == 480 else "2048x512"
    assert entry.procedure.resize == wide
    assert ("512x1024" in entry.name) == (width == 1024 and entry.card == "cityscapes")
    steps = int(re.search(r"_(\d+)k_", file.name)[1])
    assert (f"-{steps}k" in entry.name) == (steps != USUAL.get(entry.card, 80))
    word = WORDS.get(entry.card, entry.card.replace("stuff", "-stuff"))
    assert re.search(rf"_{word}(_20|\.pth)", file.name), file.name
    assert (entry.class_order == "raw values") == entry.card.startswith("context")


def test_nothing_stands_twice():
    addresses = [a for entry in CATALOG.values() for file in entry.files for a in file.addresses]
    assert len(set(addresses)) == len(addresses)
    text = psp.zoo.catalog.CATALOG.read_text(encoding="utf-8")
    assert len(re.findall(r"^\[weights\.", text, re.M)) == len(CATALOG)
    assert psp.zoo.catalog.CATALOG.parent == Path(psp.zoo.catalog.__file__).parent  # in the package


def test_the_docs_have_the_catalog():
    rows = [
        f"| `{e.name}` | {e.card} | {e.backbone} | {', '.join(f'{s.miou:.2f}' for s in e.scores)} "
        f"| {e.megabytes} | {e.publisher.terms} |"
        for e in CATALOG.values()
    ]
    head = DOCS.index("| name | card | network |")
    table = DOCS[head : DOCS.index("\n\n", head)].splitlines()[2:]
    assert table == rows


def test_models_lists_shows_and_speaks_json(psp, monkeypatch, tmp_path):
    monkeypatch.setenv("PSP_CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = psp("models", check=0)
    assert all(name in out for name in CATALOG)
    found = json.loads(psp("models", "--json", check=0)[1])
    assert [entry["name"] for entry in found] == list(CATALOG)
    entry = CATALOG["ade20k-r50-csail"]
    _, out, _ = psp("models", "show", entry.name, check=0)
    for text in (*(f.address for f in entry.files), entry.terms, "not published", "41.26"):
        assert text in out
    one = json.loads(psp("models", "show", entry.name, "--json", check=0)[1])
    assert one in found and one["cached"] is None and not (tmp_path / "none").exists()


def test_where_weights_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PSP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == tmp_path / ".cache/psp"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, its specification says
    assert cache_folder() == tmp_path / ".cache/psp"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/psp"
    monkeypatch.setenv("PSP_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
    entry = entries()["ade20k-r50-csail"]
    assert entry.path.parent == tmp_path / f"own/weights-{entry.version}"
