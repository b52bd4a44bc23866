"""Runs, shards and published weights by their names, and the model among the arguments."""

from pathlib import Path

import pytest
from helpers.runs import make_run, train_to
from helpers.shards import make_shards

from psp.data.find import find_shards
from psp.errors import PspError, nearest
from psp.predict.order import model_among
from psp.zoo.catalog import entries
from psp.zoo.find import find_model, is_published


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_model_is_named_by_its_path_or_its_name():
    run = train_to(make_run(Path("runs/town-resnet18")), 9)
    for name in ("town-resnet18", "runs/town-resnet18", Path("runs/town-resnet18").absolute()):
        assert find_model(name).path.samefile(run.weights("best"))
    assert find_model("town-resnet18", "last").path == run.weights("last")


def test_what_exists_as_a_path_is_meant_before_a_name():
    train_to(make_run(Path("runs/town")), 9)
    own = train_to(make_run(Path("town")), 9)
    assert find_model("town").path == own.weights("best")
    make_shards(Path("data/street"))
    assert find_shards("street") == Path("data/street")
    assert find_shards(make_shards(Path("street"))) == Path("street")


def test_a_run_goes_before_published_weights_of_its_name():
    name = next(iter(entries()))
    assert is_published(name)
    run = train_to(make_run(Path("runs") / name), 9)
    assert not is_published(name) and find_model(name).path == run.weights("best")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "near"),
    [
        (["evaluate", "town"], "'town-resnet18'"),
        (["evaluate", "town-resnet81"], "'town-resnet18'"),
        (["evaluate", "Town-ResNet18x"], "'town-resnet18'"),
        (["evaluate", "ade20k-r50-csial", "--data", "street"], "'ade20k-r50-csail'"),
        (["evaluate", "data/street"], "these are shards"),
        (["evaluate", "photos"], "not a run"),
        (["export", "town", "x.onnx"], "'town-resnet18'"),
        (["inspect", "town"], "'town-resnet18'"),
        (["inspect", "stret"], "'street'"),
        (["verify", "stret"], "'street'"),
        (["train", "stret"], "'street'"),
        (["train", "camvid"], "psp prepare camvid"),
        (["train", "town-resnet18"], "--resume"),
        (["predict", "town-resnet18"], "-m town-resnet18"),
        (["predict", "town-resnet81", "photos"], "'town-resnet18'"),
        (["predict", "photos", "town-resnet81"], "'town-resnet18'"),
        (["recipe", "show", "stret"], "stret"),
    ],
)
def test_a_near_miss_names_the_nearest(psp, tmp_path, command, near):
    train_to(make_run(tmp_path / "runs/town-resnet18"), 9)
    make_shards(tmp_path / "data/street")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    code, out, err = psp(*command)
    assert (code, out) == (2, "") and near in err and len(err.splitlines()) == 1


def test_a_folder_that_is_something_else_names_what_may_be_meant():
    train_to(make_run(Path("runs/town")), 9)
    make_shards(Path("data/town"))
    Path("town").mkdir()
    with pytest.raises(PspError, match="runs/town"):
        find_model("town")
    with pytest.raises(PspError, match="data/town"):
        find_shards("town")


def test_a_name_of_a_run_and_of_shards_is_not_guessed(psp, tmp_path):
    train_to(make_run(tmp_path / "runs/town"), 9)
    make_shards(tmp_path / "data/town")
    code, _, err = psp("inspect", "town")
    assert code == 2 and "runs/town" in err and "data/town" in err


def test_the_model_among_pictures_is_the_one_that_is_a_model():
    train_to(make_run(Path("runs/town")), 9)
    train_to(make_run(Path("runs/city")), 9)
    Path("photos").mkdir()
    Path("photos/a.jpg").write_bytes(b"")
    Path("other.safetensors").write_bytes(b"")
    photos, town = Path("photos"), Path("town")
    for model in (town, Path("runs/town"), Path("other.safetensors"), Path(next(iter(entries())))):
        for order in ([photos, model], [model, photos], [photos, model, Path("photos/*.jpg")]):
            pictures, found = model_among(order)
            assert found == model and pictures == [path for path in order if path != model]
    assert model_among([photos, photos / "a.jpg"]) == ([photos, photos / "a.jpg"], None)
    assert model_among([Path("-"), town]) == ([Path("-")], town)
    assert model_among([photos], town) == ([photos], town)
    for arguments in ([town, Path("city")], [town, photos, Path("runs/city")]):
        with pytest.raises(PspError, match=r"-m town.*city"):
            model_among(arguments)
    with pytest.raises(PspError, match=r"town.*-m runs/city"):
        model_among([town, photos], Path("runs/city"))


def test_pictures_that_may_be_a_model_are_not_guessed():
    train_to(make_run(Path("runs/town")), 9)
    for folder in ("town", "photos"):
        Path(folder).mkdir()
        Path(folder, "a.jpg").write_bytes(b"")
    with pytest.raises(PspError, match=r"folder town.*runs/town"):
        model_among([Path("town"), Path("photos")])
    Path("runs/town/a.jpg").write_bytes(b"")
    with pytest.raises(PspError, match=r"-m runs/town"):
        model_among([Path("runs/town"), Path("photos")])
    assert model_among([Path("runs/town")], Path("x")) == ([Path("runs/town")], Path("x"))
    Path("photos/config.json").write_text("{}")  # another program's
    assert model_among([Path("photos"), Path("photos/a.jpg")])[1] is None


def test_a_longer_name_that_begins_with_the_word_is_the_nearest():
    known = ["down", "town-resnet18", "Bin-1"]
    assert "'town-resnet18'" in nearest("town", known)
    assert "'down'" in nearest("dwn", known) and "'Bin-1'" in nearest("bin-1", known)
    assert nearest("xyz", known) == nearest("", known) == ""
