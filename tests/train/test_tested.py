"""Which procedure a run's validations follow, and its weights carry."""

import pytest

from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.model.procedure import Procedure, Published
from psp.settings.config import train_config
from psp.settings.sources import resolve
from psp.train.tested import carried, validation


def test_without_settings_it_is_that_of_psps_own_networks():
    config = train_config(crop=41, base_size=200)
    assert carried(config) is None
    assert validation(config) == Procedure(41, 200)


def test_crops_of_any_side_are_windows_where_corners_are_not_aligned():
    config = train_config(crop=64, align_corners=False)
    assert validation(config).windows == "64x64"
    with pytest.raises(PspError, match="crop=64.*8n\\+1"):
        train_config(crop=64)


@pytest.mark.parametrize(
    ("card", "windows", "stride", "resize", "crop", "rate"),
    [
        ("ade20k", "whole", None, "2048x512", 512, 0.01),
        ("voc2012", "whole", None, "2048x512", 512, 0.01),
        ("cityscapes", "769x769", "513x513", "2049x1025", 769, 0.01),
        ("context", "480x480", "320x320", "520x520", 480, 0.004),
        ("bdd100k", "whole", None, "2048x1024", "1024x512", 0.01),
        ("cityscapes:mmseg-512x1024", "whole", None, "2048x1024", "1024x512", 0.01),
        ("cocostuff10k", "whole", None, "2048x512", 512, 0.01),
        ("cocostuff164k", "whole", None, "2048x512", 512, 0.01),
        ("context60", "480x480", "320x320", "520x520", 480, 0.004),
    ],
)
def test_mmsegmentations_recipes_train_and_test_as_its_configs(
    card, windows, stride, resize, crop, rate
):
    card, _, recipe = card.partition(":")
    config = resolve(find_card(card).recipe_named(recipe or "mmseg"), {}, "mmseg")
    assert carried(config) == Published("mmseg", windows, stride, resize)
    assert validation(config).target(640) == tuple(map(int, resize.split("x")))
    assert (config.augmentation.crop, config.augmentation.train_resize) == (crop, resize)
    assert (config.optimizer.lr, config.optimizer.lr_min) == (rate, 1e-4)
    validation(config).check_sides(config.network.align_corners)


def test_a_procedure_that_there_is_not_is_refused():
    with pytest.raises(PspError, match="mmsegg"):
        validation(train_config(procedure="mmsegg"))
    with pytest.raises(PspError, match="stride"):
        validation(train_config(windows="whole", stride="40"))
