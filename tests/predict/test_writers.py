"""What psp predict writes: exactly the kinds that are listed, also when one is asked for later."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.photos import EXPECTED, records, save, tree
from PIL import Image

from psp.errors import PspError
from psp.predict.writers.registry import WRITERS, find_writers
from psp.predict.writers.writer import Prediction, Results, Writer


@pytest.fixture
def few(tmp_path):
    """Three small pictures."""
    folder = tmp_path / "few"
    save(folder / "gray.png", (33, 44))
    save(folder / "dot.jpg", (1, 1))
    save(folder / "a b/c.png", (20, 30))
    return folder


FEW = ["a b/c", "dot", "gray"]


def rows(path):
    """Return a CSV file's rows by name, read as a spreadsheet does."""
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    table = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    return {row.pop("name"): row for row in table}


def top_level(out):
    return sorted(path.name for path in out.iterdir())


def test_every_writer_writes_each_odd_picture(journey, psp, photos, tmp_path):
    Image.new("P", (30, 20)).save(photos / "two words.gif")
    expected = {**EXPECTED, "two words": (30, 20)}
    run, everything = journey.folder / "run", ",".join(WRITERS)
    psp("predict", photos, "-m", run, "-o", "out", "--write", everything, check=0)
    out = tmp_path / "out"
    classes = json.loads((out / "settings.json").read_text())["classes"]
    table = rows(out / "shares.csv")
    assert list(table) == sorted(expected)
    for name, (width, height) in expected.items():
        labels = np.array(Image.open(out / f"labels/{name}.png"))
        assert labels.shape == (height, width)
        array = np.load(out / f"npy/{name}.npy")
        assert array.dtype == np.uint8 and (array == labels).all()
        assert Image.open(out / f"overlays/{name}.jpg").size == (width, height)
        with np.load(out / f"probabilities/{name}.npz") as archive:
            assert archive["probabilities"].shape == (len(classes), height, width)
        row = table[name]
        assert (int(row.pop("height")), int(row.pop("width"))) == (height, width)
        assert list(row) == classes
        for index, share in enumerate(row.values()):
            assert float(share) == pytest.approx((labels == index).mean(), abs=1e-6)


def test_exactly_what_is_listed_is_written_and_named(journey, psp, few, tmp_path):
    call = ("predict", few, "-m", journey.folder / "run", "--no-gallery", "-o")
    always = ["legend.png", "predictions.jsonl", "settings.json"]
    _, _, err = psp(*call, "a", "--write", " npy , npy", check=0)
    assert top_level(tmp_path / "a") == sorted([*always, "npy"]) and "npy/" in err
    assert "labels/" not in err
    _, _, err = psp(*call, "b", "--write", "shares", check=0)
    assert top_level(tmp_path / "b") == sorted([*always, "shares.csv"]) and "shares.csv" in err
    psp(*call, "c", "--write", "labels", "--probabilities", check=0)
    assert top_level(tmp_path / "c") == sorted([*always, "labels", "probabilities"])
    psp(*call, "d", check=0)
    assert top_level(tmp_path / "d") == sorted([*always, "labels", "overlays"])
    psp(*call, "e", "--write", "overlays,labels", check=0)
    assert tree(tmp_path / "d") == tree(tmp_path / "e")
    psp("predict", few, "-m", journey.folder / "run", "-o", "d", check=0)
    assert top_level(tmp_path / "d") == sorted(
        [*always, "labels", "overlays", "gallery", "index.html"]
    )


@pytest.mark.parametrize(
    ("listed", "subject", "remedy"),
    [("labels,npi", "--write npi", "'npy'"), (",", "--write", "overlays")],
)
def test_an_unknown_writer_is_one_line_and_exit_2(
    journey, psp, few, tmp_path, listed, subject, remedy
):
    code, out, err = psp("predict", few, "-m", journey.folder / "run", "--write", listed)
    assert (code, out) == (2, "")
    assert subject in err and remedy in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "few-predicted").exists()


def test_a_kind_asked_for_later_is_made_for_what_lacks_it(journey, psp, few, tmp_path):
    call = ("predict", few, "-m", journey.folder / "run", "-o", "out", "--json", "--no-gallery")

    def predicted(*more):
        return sorted(json.loads(psp(*call, *more, check=0)[1])["predicted"])

    assert predicted("--write", "npy") == FEW
    assert predicted("--write", "npy") == []
    assert predicted("--write", "npy,labels") == FEW
    assert predicted("--write", "npy") == predicted("--write", "labels") == []
    (tmp_path / "out/npy/gray.npy").unlink()
    assert predicted("--write", "labels") == []
    assert predicted("--write", "labels,npy") == ["gray"]
    assert predicted("--write", "shares") == []  # made from the records alone
    assert sorted(rows(tmp_path / "out/shares.csv")) == FEW
    save(few / "new.jpg", (30, 20))
    assert predicted("--write", "shares") == ["new"]
    assert sorted(rows(tmp_path / "out/shares.csv")) == sorted([*FEW, "new"])
    assert predicted("--write", "labels") == ["new"]
    assert all(
        r["written"] == ["labels", "npy"]
        for r in records(tmp_path / "out").values()
        if r["name"] != "new"
    )


def test_files_of_other_settings_or_of_an_earlier_picture_never_count(journey, psp, few, tmp_path):
    """Also where the kind was not asked for when its picture or the settings changed."""
    call = ("predict", few / "gray.png", "-m", journey.folder / "run", "-o", "out", "--json")

    def predicted(*more):
        return json.loads(psp(*call, *more, check=0)[1])["predicted"]

    assert predicted("--write", "labels,npy") == ["gray"]
    assert predicted("--write", "labels", "--flip", "--overwrite") == ["gray"]
    assert predicted("--write", "labels", "--flip") == []
    assert predicted("--write", "npy", "--flip") == ["gray"]
    save(few / "gray.png", (20, 10))
    assert predicted("--write", "labels", "--flip") == ["gray"]
    assert predicted("--write", "npy", "--flip") == ["gray"]
    assert np.load(tmp_path / "out/npy/gray.npy").shape == (10, 20)


def test_shares_of_the_work_end_with_the_same_collected_file(journey, psp, few, plugin, tmp_path):
    (few / "broken.png").write_bytes(b"\x89PNG")
    call = ("predict", few, "-m", journey.folder / "run", "--write", "shares,npy,mean-colors")
    psp(*call, "-o", "whole", check=3)
    for number in (2, 3, 1):
        assert not (tmp_path / "parts/shares.csv").exists()
        psp(*call, "-o", "parts", "--part", f"{number}/3")
    for name in ("shares.csv", "mean-colors.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(rows(tmp_path / "whole/shares.csv")) == FEW
    before = tree(tmp_path / "parts")
    later = ("predict", few, "-m", journey.folder / "run", "-o", "parts", "--json")
    found = json.loads(psp(*later, "--write", "labels", check=3)[1])
    assert sorted(found["predicted"]) == FEW
    found = json.loads(psp(*later, "--write", "labels,npy,shares", check=3)[1])
    assert sorted(found["skipped"]) == FEW  # although the shares' own records know of no labels
    after = tree(tmp_path / "parts")
    assert after["shares.csv"] == before["shares.csv"]


def test_a_writer_of_another_package_is_found_by_its_name(journey, psp, few, plugin, tmp_path):
    call = ("predict", few, "-m", journey.folder / "run", "-o", "out")
    psp(*call, "--write", "mean-colors", check=0)
    colors = json.loads((tmp_path / "out/mean-colors.json").read_text())
    assert sorted(colors) == FEW and all(len(color) == 3 for color in colors.values())
    with error_naming(PspError, "--write mean-color", "'mean-colors'", "npy"):
        find_writers(["mean-color"])


def test_a_package_that_cannot_be_loaded_is_named(tmp_path, monkeypatch):
    info = tmp_path / "broken_thing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-thing\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[psp.writers]\ngone = broken_thing:GONE\nodd = json:loads\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with error_naming(PspError, "--write gone", "broken-thing", "broken_thing:GONE"):
        find_writers(["gone"])
    with error_naming(PspError, "--write odd", "Writer"):
        find_writers(["odd"])


def test_a_writer_that_refuses_a_picture_fails_that_picture_alone(journey, few, tmp_path):
    import torch

    from psp.model.procedure import Procedure
    from psp.predict.inputs import find_pictures
    from psp.predict.pipeline import PredictRequest, predict

    def refuse(prediction: Prediction) -> bytes:
        if prediction.name == "gray":
            raise PspError("gray: too gray")
        return b"x"

    result = predict(
        PredictRequest(
            pictures=find_pictures([few]),
            weights=journey.folder / "run/best.safetensors",
            out=tmp_path / "out",
            writers=(Writer(name="x", folder="x", suffix=".txt", write=refuse),),
            procedure=lambda header: Procedure(crop=41, base_size=64),
            device=torch.device("cpu"),
        )
    )
    assert result.failed == (("gray", "gray: too gray"),)
    assert result.predicted == ("a b/c", "dot")
    assert not (tmp_path / "out/x/gray.txt").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"write": lambda prediction: b""},
        {"write": lambda prediction: b"", "folder": "x"},
        {"collect": lambda results: b""},
        {"file": "x.csv"},
    ],
)
def test_a_writer_without_a_place_for_its_files_is_refused(fields):
    with error_naming(PspError, "writer mine"):
        Writer(name="mine", **fields)


def test_probabilities_are_computed_only_for_a_writer_that_needs_them(
    journey, psp, few, monkeypatch
):
    from psp.model.inference import SlidingWindow

    monkeypatch.setattr(SlidingWindow, "probabilities", None)
    everything_else = ",".join(name for name in WRITERS if name != "probabilities")
    call = ("predict", few / "gray.png", "-m", journey.folder / "run")
    psp(*call, "--write", everything_else, check=0)


def test_listed_writers_have_their_own_names_and_places():
    writers = find_writers(WRITERS)
    assert [writer.name for writer in writers] == list(WRITERS)
    places = [place for writer in writers for place in writer.places]
    assert len(places) == len(set(places))


def test_names_of_every_kind_are_in_the_table(tmp_path):
    path = tmp_path / "predictions.jsonl"
    names = ['a "b", c', "two\nlines", "Straße", "\udcff", "=1+1"]
    lines = [{"name": name, "height": 1, "width": 2, "shares": {"sky": 1.0}} for name in names] + [
        {"name": "bad", "error": "bad"}
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (writer,) = find_writers(["shares"])
    results = Results(tmp_path, path, ("sky", "tree"), ((0, 0, 0), (1, 1, 1)))
    (tmp_path / "shares.csv").write_bytes(writer.collect(results))
    table = rows(tmp_path / "shares.csv")
    assert list(table) == [*names[:3], "\\udcff", "=1+1"]
    assert {row["sky"] for row in table.values()} == {"1.000000"}
    assert {row["tree"] for row in table.values()} == {"0.000000"}


def test_entry_points_are_read_only_for_names_that_psp_does_not_have():
    program = (
        "import importlib.metadata as m\n"
        "def read(*a, **k): raise AssertionError('entry points were read')\n"
        "m.entry_points = read\n"
        "import psp.plugins\n"
        "from psp.predict.writers.registry import find_writers\n"
        "find_writers(['labels', 'shares'])\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
