"""--pack tar: the files of a folder of results, in a few tars."""

import io
import json
import subprocess
import tarfile

import numpy as np
import pytest
from helpers.photos import tree
from PIL import Image

KINDS = ("labels", "overlays", "coco", "uncertain")
FOLDERS = ("labels", "overlays", "coco", "uncertainty")


@pytest.fixture
def predict(journey, psp, photos):
    """predict(*options) predicts the photos, one of which is broken; returns the JSON."""
    (photos / "broken.png").write_bytes(b"\x89PNG")

    def call(*options, kinds=KINDS, check=3):
        run = ("-m", journey.folder / "run", "--write", ",".join(kinds), "--no-gallery", "--json")
        return json.loads(psp("predict", photos, *run, *options, check=check)[1])

    return call


def unpacked(folder, target):
    """Return the files that tar(1) and Python's tarfile unpack of the tars in a folder."""
    target.mkdir()
    found = {}
    for path in sorted(folder.glob("*.tar")):
        subprocess.run(["tar", "-xf", path, "-C", target], check=True)
        with tarfile.open(path) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar}
    assert found == tree(target)
    return found


def loose(folder):
    return {n: data for n, data in tree(folder).items() if n.partition("/")[0] in FOLDERS}


def records(folder):
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if "error" not in record]


def test_the_tars_hold_the_files_and_the_records_say_where(predict, tmp_path):
    predict("-o", "loose")
    for number in (1, 2):
        predict("-o", "parts", "--pack", "tar", "--part", f"{number}/2", check=None)
    predict("-o", "packed", "--pack", "tar")
    expected = loose(tmp_path / "loose")
    assert len(expected) == 4 * 8
    assert unpacked(tmp_path / "packed", tmp_path / "x") == expected
    assert unpacked(tmp_path / "parts", tmp_path / "y") == expected
    names = sorted(path.name for path in (tmp_path / "parts").glob("*.tar"))
    assert names == sorted(f"{folder}-{k}-of-2.tar" for folder in FOLDERS for k in (1, 2))
    for folder in ("packed", "parts"):
        assert not loose(tmp_path / folder)
        for name in ("instances.json", "uncertain.csv"):
            of_loose = (tmp_path / "loose" / name).read_bytes()
            assert (tmp_path / folder / name).read_bytes() == of_loose
        for record in records(tmp_path / folder):
            file, start, size = record["packed"]["labels"]
            data = (tmp_path / folder / file).read_bytes()[start : start + size]
            assert data == expected[f"labels/{record['name']}.png"]
            shape = np.array(Image.open(io.BytesIO(data))).shape
            assert shape == (record["height"], record["width"])


def test_a_torn_tar_goes_on(predict, tmp_path):
    predict("-o", "whole", "--pack", "tar")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.tar")}
    again = predict("-o", "whole", "--pack", "tar")
    assert len(again["skipped"]) == 8 and not again["predicted"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.tar")} == whole
    last = records(tmp_path / "whole")[-1]
    file, start, size = last["packed"]["labels"]
    with (tmp_path / "whole" / file).open("r+b") as tar:
        tar.truncate(start + size // 2)
    again = predict("-o", "whole", "--pack", "tar")
    assert again["predicted"] == [last["name"]]
    labels = whole.pop("labels.tar")
    assert (tmp_path / "whole/labels.tar").read_bytes() == labels
    with (tmp_path / "whole/labels.tar").open("r+b") as tar:  # killed: members, but no record
        tar.seek(-1024, 2)
        tar.write(b"x" * 4000)
    lines = (tmp_path / "whole/predictions.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["name"] != last["name"]]
    (tmp_path / "whole/predictions.jsonl").write_text("".join(kept))
    assert predict("-o", "whole", "--pack", "tar")["predicted"] == [last["name"]]
    assert (tmp_path / "whole/labels.tar").read_bytes() == labels


def test_overwriting_begins_anew_and_a_changed_picture_and_a_new_kind_are_appended(
    predict, photos, tmp_path
):
    predict("-o", "out", "--pack", "tar", kinds=["labels"])
    first = (tmp_path / "out/labels.tar").read_bytes()
    predict("-o", "out", "--pack", "tar", "--overwrite", kinds=["labels"])
    assert (tmp_path / "out/labels.tar").read_bytes() == first
    Image.open(photos / "a.jpg").transpose(Image.Transpose.ROTATE_180).save(photos / "a.jpg")
    assert predict("-o", "out", "--pack", "tar", kinds=["labels"])["predicted"] == ["a.jpg"]
    predict("-o", "loose", kinds=["labels", "overlays"])
    expected = loose(tmp_path / "loose")
    predict("-o", "out", "--pack", "tar", kinds=["labels", "overlays"])
    assert unpacked(tmp_path / "out", tmp_path / "x") == expected
    assert all(
        set(record["packed"]) == {"labels", "overlays"} for record in records(tmp_path / "out")
    )
    assert len(predict("-o", "out", kinds=["labels"])["skipped"]) == 8  # also without --pack


def test_what_is_not_packed_is_refused(journey, psp, photos):
    run = ("-m", journey.folder / "run")
    for options, what in (
        (("--pack", "zip"), "--pack zip"),
        (("--pack", "tar", "--write", "labels,gallery"), "gallery"),
    ):
        _, _, err = psp("predict", photos, *run, *options, check=2)
        assert what in err
    _, _, err = psp("predict", photos / "a.jpg", *run, "--pack", "tar", "-o", "a.png", check=2)
    assert "--pack" in err
