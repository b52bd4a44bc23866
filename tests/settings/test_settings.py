"""Settings: typed, in range, refused by name."""

import pytest

from psp.errors import PspError
from psp.settings.augmentation import nearest_crops
from psp.settings.config import SECTIONS, SETTINGS, train_config
from psp.settings.section import show
from psp.settings.sources import (
    differences,
    overlay,
    resolve,
    settings_from,
)


def test_defaults_are_the_papers():
    values = train_config().flat()
    assert values["crop"] == 473 and values["batch"] == 16
    assert values["lr"] == 0.01 and values["power"] == 0.9
    assert values["momentum"] == 0.9 and values["weight_decay"] == 1e-4
    assert values["aux_weight"] == 0.4 and values["bins"] == (1, 2, 3, 6)
    assert values["pooling"] == "average" and values["reduce"] is True
    assert (values["scale_min"], values["scale_max"], values["rotate"]) == (0.5, 2.0, 10.0)


def test_every_setting_has_one_section_and_flat_names_give_them_back():
    names = [name for section in SECTIONS.values() for name in section.declared]
    assert len(names) == len(set(names)) and names == list(SETTINGS)
    config = train_config(crop=89, lr=0.5, bins=(1, 4))
    assert train_config(**config.flat()) == config
    assert config.changed(crop=137).flat() == {**config.flat(), "crop": 137}
    with pytest.raises(TypeError, match="no_setting"):
        train_config(no_setting=1)


def test_a_stored_setting_that_this_version_lacks_was_written_by_a_newer_psp():
    with pytest.raises(PspError) as error:
        settings_from({"mixup": 0.5}, "run/config.json", stored=True)
    text = str(error.value)
    assert "run/config.json" in text and "mixup" in text and "newer psp" in text


def test_command_line_wins_over_recipe_wins_over_defaults():
    config = resolve({"crop": 89, "steps": 7}, {"steps": "9"}, "r")
    assert config.augmentation.crop == 89
    assert (config.optimizer.steps, config.optimizer.batch) == (9, 16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"bins": "1,3"}, {"bins": (1, 3)}),
        ({"bins": "none"}, {"bins": ()}),
        ({"bins": [1, 2]}, {"bins": (1, 2)}),
        ({"workers": "auto"}, {"workers": None}),
        ({"batch": "auto"}, {"accumulate": None}),
        ({"base_size": "512"}, {"base_size": 512}),
        ({"reduce": "no"}, {"reduce": False}),
        ({"lr": "1e-3"}, {"lr": 0.001}),
        ({"steps": 5.0}, {"steps": 5}),
        ({"seed": str(2**53 + 1)}, {"seed": 2**53 + 1}),
        ({"crop": "1001x505"}, {"crop": "1001x505"}),
        ({"crop": "0089x097"}, {"crop": "89x97"}),
        ({"crop": "89x89"}, {"crop": 89}),
        ({"crop": "89"}, {"crop": 89}),
    ],
)
def test_texts_and_toml_values_become_types(text, expected):
    assert settings_from(text, "here") == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stpes": "5"}, "'stpes'.*'steps'"),
        ({"steps": "five"}, "steps=five"),
        ({"steps": "1.5"}, "steps=1.5"),
        ({"steps": "inf"}, "steps=inf"),
        ({"seed": "99999999999999999999"}, "seed=99999999999999999999"),
        ({"workers": "9999"}, "workers=9999.*256"),
        ({"steps": "0"}, "steps=0.*1"),
        ({"lr": "nan"}, "lr=nan"),
        ({"crop": "100"}, "crop=100.*89 or 137"),
        ({"crop": "105x100"}, "crop=105x100.*100: 89 or 137"),
        ({"crop": "105x5"}, "crop=5.*at least 9"),
        ({"crop": "9x4105"}, "crop=4105.*at most 4097"),
        ({"crop": "1x2x3"}, "crop=1x2x3.*1001x505"),
        ({"crop": [1001, 505]}, "crop=.*1001x505"),
        ({"backbone": "resnet51"}, "backbone=resnet51.*resnet18"),
        ({"flip": "1.5"}, "flip=1.5"),
        ({"scale_min": "3"}, "scale_min=3.0.*scale_max=2.0"),
        ({"train_resize": "512"}, "train_resize 512.*WIDTHxHEIGHT"),
        ({"lr_min": "0.1"}, "lr_min=0.1.*lr=0.01"),
        ({"bins": "1,1"}, "bins=1,1"),
        ({"bins": "1,x"}, "bins=x"),
        ({"reduce": "perhaps"}, "reduce=perhaps.*true or false"),
        ({"batch": "auto", "accumulate": "2"}, "batch=auto.*accumulate"),
    ],
)
def test_a_bad_setting_is_one_clear_line(settings, message):
    with pytest.raises(PspError, match=message):
        resolve({}, settings, "r")


def test_nearest_crops_divide_by_all_bins_and_are_nearest():
    valid = [48 * k - 7 for k in range(1, 30)]
    for size in range(9, 1000):
        near, other = nearest_crops(size)
        assert all(((crop - 1) // 8 + 1) % 6 == 0 for crop in (near, other)), size
        distances = sorted(abs(crop - size) for crop in valid)
        assert [abs(near - size), abs(other - size)] == distances[:2], size


def test_differences_ignore_what_changes_no_result():
    one = train_config()
    assert differences(one, overlay(one, {"workers": 4, "save_every": 7})) == []
    assert differences(one, overlay(one, {"lr": 0.5})) == ["lr: 0.01 -> 0.5"]
    # It decides which weights can become the best.
    assert differences(one, overlay(one, {"eval_every": 7})) == ["eval_every: auto -> 7"]


def test_show_is_what_set_takes():
    for settings in ({"bins": ()}, {"bins": (1, 2)}, {"workers": None}, {"reduce": True}):
        (key, value), *_ = settings.items()
        assert settings_from({key: show(value)}, "") == settings


def test_a_recipe_says_whose_numbers_it_has(psp):
    import json

    _, out, _ = psp("recipe", "show", "voc2012", "--json", check=0)
    rows = {row["setting"]: row for row in json.loads(out)["settings"]}
    assert set(rows) == set(SETTINGS)
    assert rows["steps"] == {"setting": "steps", "value": 30000, "from": "recipe paper"}
    assert rows["weight_decay"]["from"] == "paper, section 5.1"
    assert all(row["from"] for row in rows.values())


@pytest.mark.parametrize("card", ["voc2012", "ade20k", "cityscapes"])
def test_the_two_published_recipes_differ_as_their_authors_say(card, psp):
    """Decay on batch norms, dropout of channels, loss at full size, no double rate for biases."""
    import json

    assert "are the same" in psp("recipe", "diff", card, card, check=0)[1]
    _, out, _ = psp("recipe", "diff", card, f"{card}:semseg", "--json", check=0)
    found = json.loads(out)["settings"]
    assert found["norm_decay"] == [False, True]
    assert found["dropout_kind"] == ["element", "channel"]
    assert found["loss_stride"] == [8, 1]
    assert found["bias_lr"] == [2.0, 1.0]
    assert found["norm_momentum"] == [0.05, 0.1]
    steps = {"voc2012": [30000, 33050], "ade20k": [150000, 126300], "cityscapes": [90000, 37000]}
    assert found["steps"] == steps[card]
    # The paper has neither rotation nor blur on Cityscapes; semseg has both everywhere.
    assert ("rotate" in found) == ("blur" in found) == (card == "cityscapes")


def test_all_recipes_of_a_card_are_shown_side_by_side(psp):
    import json

    found = json.loads(psp("recipe", "diff", "ade20k", "--json", check=0)[1])
    assert found["recipes"] == ["ade20k:paper", "ade20k:semseg", "ade20k:mmseg"]
    assert found["settings"]["crop"] == [473, 473, 512]
    assert "momentum" not in found["settings"]
    found = json.loads(psp("recipe", "diff", "ade20k", "--all", "--json", check=0)[1])
    assert set(found["settings"]) == set(SETTINGS)
    out = psp("recipe", "diff", "voc2012:mmseg", "ade20k:mmseg", "context:mmseg", check=0)[1]
    assert "context:mmseg" in out and "steps" in out and "class_limit" not in out
    found = json.loads(psp("recipe", "diff", "ade20k", "mmseg", "--json", check=0)[1])
    assert found["recipes"] == ["ade20k:paper", "ade20k:mmseg"]
    assert "scenes" in psp("recipe", "diff", "scenes", check=2)[2]
