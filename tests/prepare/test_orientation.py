"""Own photos and masks are upright everywhere, for all eight EXIF orientations."""

import json

import numpy as np
import pytest
from helpers.picture_files import saved
from helpers.trees import noise, save_picture, town_card
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from psp.data.shards import ShardSplit
from psp.images.orientation import orientation_of, swaps_sides, upright
from psp.images.pictures import check_image, decode_image
from psp.predict.photos import decode_photo

CARD = town_card()


def stored(pixels, orientation):
    """The pixels that a camera stores: what `upright` turns back."""
    for other in range(1, 9):
        if np.array_equal(upright(upright(pixels, other), orientation), pixels):
            return upright(pixels, other)
    raise AssertionError


def with_tag(path, pixels, orientation, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_is_undone_as_pillow_does_it(rng, tmp_path, orientation):
    from PIL import ImageOps

    pixels = noise(rng, 9, 14)
    with_tag(tmp_path / "p.png", stored(pixels, orientation), orientation)
    with Image.open(tmp_path / "p.png") as picture:
        assert orientation_of(picture) == orientation
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(picture)), pixels)
    assert np.array_equal(decode_photo((tmp_path / "p.png").read_bytes(), "p"), pixels)
    assert swaps_sides(orientation) == (orientation >= 5)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="%d"/></x:xmpmeta>'
KINDS = {
    "JPEG": {"quality": 95},
    "PNG": {},
    "TIFF": {},
    "TIFF deflate": {"compression": "tiff_deflate"},
    "WEBP": {"lossless": True},
    "JPEG by XMP": {"quality": 95},
    "PNG by XMP": {},
    "WEBP by XMP": {"lossless": True},
}


def of_kind(name, pixels, orientation):
    """A file of stored pixels with an orientation, as EXIF or as XMP."""
    kind, options = name.split()[0], dict(KINDS[name])
    note = XMP % orientation
    if not name.endswith("XMP"):
        tag = Image.Exif()
        tag[0x0112] = orientation
        options["exif"] = tag
    elif kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", note.decode())
    else:
        options["xmp"] = note
    return saved(Image.fromarray(pixels), kind, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", KINDS)
def test_every_format_is_upright_in_predict_and_in_shards(rng, name, orientation):
    pixels = stored(noise(rng, 24, 36), orientation)
    data = of_kind(name, pixels, orientation)
    plain = decode_image(of_kind(name, pixels, 1), "p")  # a lossy one is not turned before
    expected = upright(plain, orientation)
    assert np.array_equal(decode_photo(data, "p"), expected)
    assert np.array_equal(decode_image(data, "p", turn=True), expected)
    height, width, tag = check_image(data, "p")
    assert (height, width, tag) == (*plain.shape[:2], orientation)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "PNG by XMP"])
def test_masks_with_tags_of_their_own_are_upright(tmp_path, rng, psp, kind):
    truth = {}
    for orientation in range(1, 9):
        name = f"o{orientation}"
        label = rng.integers(0, 3, (24, 24)).astype(np.uint8)  # no size tells anything
        photo = of_kind("JPEG", stored(noise(rng, 24, 24), orientation), orientation)
        mask = of_kind(kind, stored(label, orientation), orientation)
        suffix = "tif" if kind == "TIFF" else "png"
        for path, data in ((f"photos/{name}.jpg", photo), (f"masks/{name}.{suffix}", mask)):
            (tmp_path / "raw" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "raw" / path).write_bytes(data)
        truth[name] = label
    (tmp_path / "town.toml").write_text(CARD)
    _, _, err = psp("prepare", "town.toml", "raw", "-o", "data", check=0)
    assert "EXIF" not in err  # nothing had to be assumed
    for name in ("train", "val"):
        split = ShardSplit(tmp_path / "data", name)
        for index, sample in enumerate(split.names):
            assert np.array_equal(split.label(index), truth[sample]), sample


@pytest.fixture
def turned_set(tmp_path, rng):
    """Photos of all orientations; masks drawn upright, or stored and turned like the photo."""
    truth = {}
    for orientation in range(1, 9):
        for kind in ("drawn upright", "own tag", "as stored"):
            name = f"o{orientation}-{kind.replace(' ', '-')}"
            photo = noise(rng, 24, 36)
            label = rng.integers(0, 3, (24, 36)).astype(np.uint8)
            with_tag(tmp_path / f"raw/photos/{name}.png", stored(photo, orientation), orientation)
            mask = tmp_path / f"raw/masks/{name}.png"
            if kind == "own tag":
                with_tag(mask, stored(label, orientation), orientation)
            elif kind == "as stored" and orientation >= 5:
                save_picture(mask, stored(label, orientation))
            else:
                save_picture(mask, label)
            truth[name] = photo, label
    (tmp_path / "town.toml").write_text(CARD)
    return truth


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--store", "raw"], ["--reencode", "jpeg:95"]])
def test_photos_and_masks_in_shards_are_upright(turned_set, tmp_path, psp, options):
    _, _, err = psp("prepare", "town.toml", "raw", "-o", "data", *options, check=0)
    assert "EXIF" in err and "4 masks were turned with their photos" in err  # orientations 5 to 8
    seen = 0
    for name in ("train", "val"):
        split = ShardSplit(tmp_path / "data", name)
        for index, sample in enumerate(split.names):
            photo, label = turned_set[sample]
            assert tuple(split.sizes[index]) == label.shape
            assert np.array_equal(split.label(index), label), sample
            if "--reencode" not in options:
                assert np.array_equal(split.image(index), photo), sample
            assert split.image(index).shape == photo.shape
            seen += 1
    assert seen == len(turned_set)
    psp("verify", "data", check=0)


@pytest.mark.slow
def test_evaluate_counts_what_predicts_maps_give(turned_set, tmp_path, psp, journey):
    """The same settings, photos of all orientations: scores equal a count over predict's maps."""
    card = CARD.replace('name = "grass"', 'name = "sky"')
    names = ("sky", "water", "road", "wall", "floor", "boat", "car", "building", "cabinet")
    entries = "\n".join(
        f'  {{ name = "{name}", color = "#{i + 1:02x}0000", from = [{i}] }},'
        for i, name in enumerate(names)
    )
    card = (
        card[: card.index("classes")]
        + f"classes = [\n{entries}\n]\n"
        + card[card.index("[folders]") :]
    )
    (tmp_path / "town.toml").write_text(card)
    psp("prepare", "town.toml", "raw", "-o", "data", check=0)
    options = ["--device", "cpu", "--precision", "fp32", "--no-flip", "--blend", "taper", "--json"]
    run = journey.folder / "run"
    _, out, _ = psp("evaluate", run, "--data", "data", "--split", "val", *options, check=0)
    split = ShardSplit(tmp_path / "data", "val")
    psp("predict", "raw/photos", "-m", run, "-o", "out", *options, check=0)
    right = total = 0
    for index, name in enumerate(split.names):
        labels = np.asarray(Image.open(tmp_path / f"out/labels/{name}.png"))
        right += int((labels == split.label(index)).sum())
        total += labels.size
    assert json.loads(out)["pixel_accuracy"] == pytest.approx(right / total, abs=1e-12)
