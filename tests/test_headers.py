"""Headers of strangers are refused in one line that names the file and the key, or are read."""

import json
import os

import pytest
from helpers.errors import error_naming
from helpers.poison import poisoned

from psp.data.cardfile import find_card, read_card
from psp.data.manifest import MANIFEST, ShardError, read_manifest
from psp.data.stored_card import card_from_dict
from psp.errors import PspError
from psp.files import read_bytes
from psp.headers import DamagedError, Fields, NewerError, parse, read_header
from psp.name_rules import is_below, is_data_set, is_file_name, is_split
from psp.runs import Run
from psp.settings.config import train_config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
        '{"a": ' + "1" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 30 + "]" * 30,
        "[" + "[]," * 1_100_000 + "[]]",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_strict_json_is_one_line(text):
    with error_naming(DamagedError, "x.json", "damaged") as error:
        parse(text, "x.json")
    assert len(str(error.value)) < 300


def test_json_that_is_no_text_is_one_line():
    with error_naming(DamagedError, "x.json", "UTF-8"):
        parse(b'{"a": "\xff"}', "x.json")


def test_names_of_files_may_have_bytes_that_are_no_text_where_they_are_expected():
    assert parse('{"a": "\\udcff"}', "x", strict=False) == {"a": "\udcff"}


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with error_naming(PspError, path, "bytes"):
        read_header(path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "zero", "circle"])
def test_only_regular_files_are_read(tmp_path, kind):
    path = tmp_path / "config.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "zero" else "config.json")
    for read in (read_bytes, read_header):
        with error_naming(PspError, path):
            read(path)


def test_fields_name_the_file_the_key_and_what_it_must_be():
    fields = Fields({"a": {"n": 1.0, "t": 3, "f": 1, "l": [1, "x"]}}, "w.json").object("a")
    for call, words in (
        (lambda: fields.whole("n"), ("'a.n'", "whole number")),
        (lambda: fields.text("t"), ("'a.t'", "text")),
        (lambda: fields.flag("f"), ("'a.f'", "true or false")),
        (lambda: fields.wholes("l"), ("'a.l'", "whole numbers")),
        (lambda: fields.number("missing"), ("'a.missing'", "missing")),
    ):
        with error_naming(DamagedError, "w.json", *words):
            call()
    with error_naming(NewerError, "w.json", "'a.l'", "newer", "Upgrade psp"):
        fields.only(("n", "t", "f"))


def test_names_steer_nothing():
    bad = ["", ".", "..", "../x", "/etc/x", "a/../b", "a\0b", "a//b", "x" * 5000]
    for check in (is_data_set, is_split, is_file_name, is_below):
        assert not [name for name in bad if check(name)]
    assert not [n for n in ("a/b", "con", "A", "a\n", "-a", "é", "a" * 200) if is_data_set(n)]
    assert not [n for n in ("a/b", "a-b", "a\n", "a.h5", "é") if is_split(n)]
    assert not [n for n in ("a/b", "a\\b", "a\n", "é" * 200) if is_file_name(n)]
    assert all(map(is_data_set, ("voc2012", "my-data_2", "0")))
    assert all(map(is_split, ("train", "train_aug", "Val2")))
    assert all(map(is_file_name, ("train-00000.h5", ".x", "é")))
    assert all(map(is_below, ("a", "a/b", "..a/b..", "a\nb", "con", "[red]x")))


def good_manifest():
    card = json.loads(find_card("camvid").to_json())
    shard = {"file": "val-00000.h5", "images": 2, "bytes": 9999, "sha256": "0", "pixels": [1] * 12}
    split = {"images": 2, "labels": True, "skipped": ["a"], "shards": [shard]}
    conversion = {"store": "encoded", "reencode": None, "max_side": None, "upright": True}
    head = {"format": "psp-shards", "version": 2, "dataset": "camvid", "source": "x"}
    return {**head, "card": card, "conversion": conversion, "splits": {"val": split}}


def test_every_value_of_a_manifest_is_checked(tmp_path):
    good = good_manifest()
    path = tmp_path / MANIFEST
    path.write_text(json.dumps(good))
    assert read_manifest(tmp_path) == good
    for value, what in poisoned(good, 7):
        path.write_text(json.dumps(value))
        try:
            read_manifest(tmp_path)
        except ShardError as error:
            assert str(error).startswith(f"{path}: "), what
            assert "\n" not in str(error) and "\x1b" not in str(error) and len(str(error)) < 400


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("dataset",), "../../x"),
        (("card", "name"), "../../x"),
        (("card", "name"), "con"),
        (("card", "classes", 0, "name"), ""),
        (("card", "classes", 0, "name"), "building"),
        (("card", "classes", 0, "color"), [0, 0, 256]),
        (("card", "classes", 0, "raw"), [-1]),
        (("splits", "val", "shards", 0, "file"), "../val-00000.h5"),
        (("splits", "val", "shards", 0, "file"), "/etc/passwd"),
        (("splits", "val", "shards", 0, "pixels"), [1] * 11),
        (("conversion", "max_side"), -5),
        (("conversion", "upright"), "yes"),
    ],
)
def test_a_manifest_with_a_wrong_value_names_the_key(tmp_path, place, value):
    manifest = good_manifest()
    holder = manifest
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    key = next(part for part in reversed(place) if isinstance(part, str))
    with error_naming(ShardError, tmp_path / MANIFEST, "damaged", "psp prepare") as error:
        read_manifest(tmp_path)
    assert key in str(error.value) or "classes" in str(error.value)


def test_a_split_of_a_manifest_is_no_path(tmp_path):
    manifest = good_manifest()
    manifest["splits"] = {"../../x": manifest["splits"]["val"]}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with error_naming(ShardError, tmp_path / MANIFEST, "../../x", "letters"):
        read_manifest(tmp_path)


@pytest.mark.slow
def test_every_value_of_a_stored_card_is_checked():
    for name in ("voc2012", "scenes"):
        for value, what in poisoned(json.loads(find_card(name).to_json())):
            try:
                card_from_dict(value, "shard.h5")
            except PspError as error:
                assert str(error).startswith("shard.h5: ") and "\n" not in str(error), what


@pytest.mark.parametrize("path", ["/etc/{name}.png", "../{name}.png", "a/../../{name}.png", "{x}"])
def test_a_stored_card_does_not_steer_label_files(path):
    card = json.loads(find_card("voc2012").to_json())
    card["leaderboard"]["path"] = path
    with error_naming(DamagedError, "leaderboard.path"):
        card_from_dict(card)


def test_a_run_has_a_checked_config(tmp_path):
    good = {
        "settings": train_config().flat(),
        "data": "/data/x",
        "data_fingerprint": "0",
        "launch": None,
        "ranks": 1,
        "threads": 2,
        "precision": "fp32",
    }
    run = Run(tmp_path)
    run.config.write_text(json.dumps(good))
    run.training_config()
    for value, what in poisoned(good, 7):
        run.config.write_text(json.dumps(value))
        try:
            run.training_config()
        except PspError as error:
            assert str(error).startswith(f"{run.config}: ") and "\n" not in str(error), what


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "camvid"', 'name = "../../x"', ("name", "../../x")),
        ('name = "sky"', 'name = "sky\\u001b[31m"', ("class 0", "control")),
        ('name = "sky"', 'name = ""', ("class 0", "name")),
        ("train = { images = 367 }", 'train = { list = "../../etc/passwd" }', ("'train'", "list")),
        ("train = { images = 367 }", 'train = { list = "/etc/passwd" }', ("'train'", "list")),
        ("images = 367", "images = 1" + "0" * 40, ("'train'", "images")),
        ("images = 367", "images = " + "[" * 20_000, ("nested",)),
        ("images = 367", "images." + "a." * 100_000 + "a = 1", ("nested",)),
    ],
    ids=range(8),
)
def test_a_card_of_a_stranger_is_one_line(tmp_path, old, new, words):
    from psp.data.cardfile import card_path

    text = card_path("camvid").read_text(encoding="utf-8")
    assert old.lower() in text.lower()
    path = tmp_path / "strange.toml"
    start = text.lower().index(old.lower())
    path.write_text(text[:start] + new + text[start + len(old) :])
    with error_naming(PspError, path, *words):
        read_card(path)
