"""Plain masks in folders of any shape: what is a mask, whose it is, and what its values mean."""

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.exports import paint, painted, picture_named, read_export
from helpers.trees import noise, save_picture
from PIL import Image

from psp.annotations.format import ReadOptions
from psp.annotations.masks import MASKS, read_masks
from psp.annotations.place import Place
from psp.annotations.registry import recognize
from psp.errors import PspError

HEIGHT, WIDTH = 44, 61
COLORS = np.array([[0, 0, 0], [250, 0, 0], [0, 200, 30], [9, 60, 240]], np.uint8)


def photo(path, rng):
    save_picture(path, rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def drawn(rng, values):
    """Rectangles of some values on 0, each at least 9 pixels wide and at a place of its own."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for index, value in enumerate(values):
        top = int(rng.integers(0, HEIGHT - 12))
        label[top : top + 11, 1 + 15 * index : 13 + 15 * index] = value
    return label


def tree(folder, rng, photos="images/{}.jpg", masks="masks/{}.png", values=(1, 2, 3), count=4):
    """Photos and masks named by patterns; returns the masks by number."""
    answers = [drawn(rng, values) for _ in range(count)]
    for number, label in enumerate(answers):
        photo(folder / photos.format(number), rng)
        save_picture(folder / masks.format(number), label)
    return answers


@pytest.mark.parametrize(
    ("photos", "masks"),
    [
        ("a{}.jpg", "a{}.png"),
        ("a{}.jpg", "a{}_mask.png"),
        ("a{}.jpg", "a{}.jpg.png"),
        ("a{}.png", "a{}_L.png"),
        ("img{}.jpg", "mask{}.png"),
        ("images/{}.jpg", "masks/{}.png"),
        ("img/{}.png", "mask/{}.png"),
        ("JPEGImages/{}.jpg", "masks/{}.png"),
        ("photos/{}.JPG", "labels/{}_Label.PNG"),
        ("x_train/{}.png", "y_train/{}.png"),
        ("images/train/{}.jpg", "masks/train/{}.png"),
        ("train/images/{}.jpeg", "train/masks/{}.png"),
        ("train/{}.png", "train_labels/{}_L.png"),
        ("train/{}.png", "trainannot/{}.png"),
        ("images/valid/{}.jpg", "masks/validation/{}.png"),
        ("pictures/img_{}.jpg", "gt/mask_{}.png"),
        ("town/a/{}.bmp", "truth/a/{}.tif"),
        ("b/1_{}.jpg", "A/1_{}_Mask.png"),
    ],
)
def test_each_photo_gets_its_own_mask_whatever_the_folders_are_called(tmp_path, rng, photos, masks):
    answers = tree(tmp_path, rng, photos, masks)
    export = read_export(tmp_path, "masks")
    assert export.classes == ("class_0", "class_1", "class_2", "class_3")
    assert len(export.pictures) == 4
    for number, answer in enumerate(answers):
        (picture,) = [p for p in export.pictures if p.source == tmp_path / masks.format(number)]
        assert picture.image == tmp_path / photos.format(number)
        assert picture.size == (WIDTH, HEIGHT) and not picture.problem
        assert picture.split == ("train" if "train" in photos else "val" if "val" in photos else "")
        label = paint(picture, HEIGHT, WIDTH, export.classes, export.order)
        np.testing.assert_array_equal(label, answer)


def test_two_folders_are_understood_in_either_order(tmp_path, rng):
    tree(tmp_path, rng, "one/{}.png", "two/{}.png")
    for first, second in (("one", "two"), ("two", "one")):
        export = read_masks(tmp_path / first, tmp_path / second)
        assert {p.image.parent.name for p in export.pictures} == {"one"}
        assert {p.source.parent.name for p in export.pictures} == {"two"}


def test_two_folders_of_photos_are_refused_and_so_are_two_kinds_of_masks(tmp_path, rng):
    for number in range(3):
        photo(tmp_path / f"one/{number}.png", rng)
        photo(tmp_path / f"two/{number}.png", rng)
    with error_naming(PspError, "one", "two", "few colors"):
        read_masks(tmp_path / "one", tmp_path / "two")
    tree(tmp_path / "b", rng)
    for number in range(4):
        save_picture(tmp_path / f"b/masks_rgb/{number}.png", COLORS[drawn(rng, (1, 2))])
    with error_naming(PspError, "masks/", "masks_rgb/", "--masks"):
        MASKS.read(Place(tmp_path / "b"), ReadOptions())


def test_photos_alone_and_other_files_are_no_masks(tmp_path, rng):
    for number in range(3):
        photo(tmp_path / f"{number}.jpg", rng)
    (tmp_path / "notes.txt").write_text("nothing")
    assert not recognize(Place(tmp_path))
    assert not recognize(Place(tmp_path / "notes.txt"))


def test_drawn_pictures_are_told_from_their_masks(tmp_path, rng):
    """Both have few colors: names decide, or the file type, or how many colors there are."""
    for number in range(3):
        for name in ("named/images/{}.png", "typed/{}.jpg", "colored/p/{}.png"):
            save_picture(tmp_path / name.format(number), noise(rng, HEIGHT, WIDTH))
        for name in ("named/masks/{}.png", "typed/{}.png", "colored/q/{}.png"):
            save_picture(tmp_path / name.format(number), drawn(rng, (1, 2)))
    for folder in ("named", "typed", "colored"):
        export = read_export(tmp_path / folder, "masks")
        assert export.classes == ("class_0", "class_1", "class_2")
        assert all(p.source.parent.name in ("masks", "typed", "q") for p in export.pictures)


@pytest.mark.parametrize(
    ("values", "classes", "ignored"),
    [
        ((255, 255), ("background", "foreground"), False),
        ((1, 1), ("background", "foreground"), False),
        ((1, 255), ("background", "foreground"), True),
        ((1, 7, 255), ("class_0", "class_1", "class_7"), True),
        ((127, 255), ("class_0", "class_127", "class_255"), False),
    ],
)
def test_values_without_names(tmp_path, rng, values, classes, ignored):
    answers = tree(tmp_path, rng, values=values)
    export = read_export(tmp_path, "masks")
    assert export.classes == classes
    assert any("255 is ignored" in remark for remark in export.remarks) == ignored
    kept = [0, *dict.fromkeys(v for v in values if not (ignored and v == 255))]
    ids = dict(zip(export.classes, kept, strict=True))
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(painted(export, str(number), HEIGHT, WIDTH, ids), answer)


def test_gray_values_in_three_channels_are_values(tmp_path, rng):
    answers = tree(tmp_path, rng)
    save_picture(tmp_path / "masks/2.png", np.stack([answers[2]] * 3, axis=2))
    export = read_export(tmp_path, "masks")
    assert export.classes == ("class_0", "class_1", "class_2", "class_3")
    label = paint(picture_named(export, "2"), HEIGHT, WIDTH, export.classes, export.order)
    np.testing.assert_array_equal(label, answers[2])


def test_colors_and_palettes_of_each_file_mean_the_same_color(tmp_path, rng):
    """A program that makes a palette for each file gives each its own numbers."""
    answers = tree(tmp_path, rng)
    for number, values in enumerate(((1, 2, 3), (2,), (3, 1), (3,))):
        answers[number] = drawn(rng, values)
        picture = Image.fromarray(COLORS[answers[number]])
        picture = picture if number == 0 else picture.quantize(1 + len(values))
        picture.save(tmp_path / f"masks/{number}.png")
    export = read_export(tmp_path, "masks")
    assert export.colors["color_fa0000"] == (250, 0, 0)
    ids = {"color_000000": 0, "color_fa0000": 1, "color_00c81e": 2, "color_093cf0": 3}
    assert export.classes == tuple(sorted(ids))
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(painted(export, str(number), HEIGHT, WIDTH, ids), answer)


def test_a_palette_gives_the_classes_their_colors(tmp_path, rng):
    for number in range(3):
        photo(tmp_path / f"images/{number}.jpg", rng)
        label = drawn(rng, (1, 2))
        picture = Image.frombytes("P", label.shape[::-1], label.tobytes())
        picture.putpalette([0, 0, 0, 200, 10, 0, 3, 220, 5] + [7] * 759)
        (tmp_path / "masks").mkdir(exist_ok=True)
        picture.save(tmp_path / f"masks/{number}.png")
    export = read_export(tmp_path, "masks")
    assert export.colors["class_1"] == (200, 10, 0) and export.colors["class_2"] == (3, 220, 5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "ground\nroad\ntree\npond\n"),
        ("labels.txt", "0 ground\n1 road\n2 tree\n3 pond"),
        ("_classes.csv", "Pixel Value, Class\n0, ground\n1, road\n2, tree\n3, pond"),
        ("legend.json", '{"0": "ground", "1": "road", "2": "tree", "3": "pond"}'),
        ("class_names.txt", "\ufeffground\r\nroad\r\ntree\r\npond\r\n"),
    ],
)
def test_class_names_from_a_file_beside(tmp_path, rng, name, text):
    answers = tree(tmp_path, rng)
    (tmp_path / "masks" / name).write_text(text, encoding="utf-8", newline="")
    export = read_export(tmp_path, "masks")
    assert export.classes == ("ground", "road", "tree", "pond")
    assert any(name in remark for remark in export.remarks)
    ids = {"ground": 0, "road": 1, "tree": 2, "pond": 3}
    np.testing.assert_array_equal(painted(export, "1", HEIGHT, WIDTH, ids), answers[1])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_dict.csv", "name,r,g,b\nBack,0,0,0\nRoad,250,0,0\nVoid,0,200,30\nTree,9,60,240\n"),
        ("label_colors.txt", "0 0 0\tBack\n250 0 0\t\tRoad\n0 200 30\tVoid\n9 60 240\tTree\n"),
        ("classes.txt", "Back #000000\nRoad #fa0000\nVoid #00c81e\nTree #093cf0"),
    ],
)
def test_class_names_by_color_and_a_class_that_is_void(tmp_path, rng, name, text):
    answers = tree(tmp_path, rng)
    for number, answer in enumerate(answers):
        save_picture(tmp_path / f"masks/{number}.png", COLORS[answer])
    (tmp_path / name).write_text(text)
    export = read_export(tmp_path, "masks")
    assert export.classes == ("Back", "Road", "Void", "Tree")
    assert export.ignored == {"Void"} and export.colors["Tree"] == (9, 60, 240)
    ids = {"Back": 0, "Road": 1, "Void": 255, "Tree": 3}
    for number, answer in enumerate(answers):
        expected = np.where(answer == 2, 255, answer)
        np.testing.assert_array_equal(painted(export, str(number), HEIGHT, WIDTH, ids), expected)


def test_names_that_contradict_each_other_or_the_masks_are_refused(tmp_path, rng):
    tree(tmp_path, rng)
    (tmp_path / "classes.txt").write_text("ground\nroad\ntree\npond")
    (tmp_path / "labels.txt").write_text("ground\ntree\nroad\npond")
    with error_naming(PspError, "classes.txt", "labels.txt", "road"):
        MASKS.read(Place(tmp_path), ReadOptions())
    (tmp_path / "labels.txt").unlink()
    (tmp_path / "classes.txt").write_text("ground\nroad")
    with error_naming(PspError, "masks/0.png", "classes.txt", "2"):
        MASKS.read(Place(tmp_path), ReadOptions())
    (tmp_path / "classes.txt").write_text("ground\nroad\nroad\ntree")
    with error_naming(PspError, "classes.txt", "road", "twice"):
        MASKS.read(Place(tmp_path), ReadOptions())


def test_smoothed_masks_are_refused_with_counts(tmp_path, rng):
    for number in range(4):
        photo(tmp_path / f"images/{number}.jpg", rng)
        photo(tmp_path / f"gray/images/{number}.jpg", rng)
        large = np.kron(drawn(rng, (1, 2, 3)), np.ones((3, 3), np.uint8))
        small = Image.fromarray(COLORS[large]).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        save_picture(tmp_path / f"masks/{number}.png", np.asarray(small))
        binary = Image.fromarray((large > 0).astype(np.uint8) * 255)
        small = binary.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        save_picture(tmp_path / f"gray/masks/{number}.png", np.asarray(small))
    for folder in (tmp_path, tmp_path / "gray"):
        with error_naming(PspError, "masks", "border", "nearest"):
            read_masks(folder / "images", folder / "masks")


def test_more_values_than_classes_can_be_are_refused_with_the_cause(tmp_path, rng):
    label = np.kron(np.arange(28 * 20).reshape(28, 20), np.ones((4, 4))).astype(np.uint16)
    photo(tmp_path / "images/0.jpg", rng)
    save_picture(tmp_path / "masks/0.png", label)
    with error_naming(PspError, "0.png", "560", "instances"):
        read_masks(tmp_path / "images", tmp_path / "masks")


def test_single_files_have_single_problems(tmp_path, rng):
    tree(tmp_path, rng)
    (tmp_path / "classes.txt").write_text("ground\nroad\ntree\npond")
    save_picture(tmp_path / "masks/0.png", drawn(rng, (1, 9)))
    (tmp_path / "masks/1.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "images/2.jpg").unlink()
    photo(tmp_path / "images/extra.jpg", rng)
    export = read_export(tmp_path, "masks")
    assert [bool(p.problem) for p in export.pictures] == [False, True, True, False]
    assert str(tmp_path / "masks/1.png") in picture_named(export, "1").problem
    assert "no photo" in picture_named(export, "2").problem
    with error_naming(PspError, "masks/0.png", "9"):
        paint(picture_named(export, "0"), HEIGHT, WIDTH, export.classes, export.order)
    assert any("extra.jpg" in remark for remark in export.remarks)


def test_masks_without_anything_drawn_are_refused(tmp_path, rng):
    tree(tmp_path, rng, values=())
    with error_naming(PspError, "0 alone"):
        read_masks(tmp_path / "images", tmp_path / "masks")


def test_a_legend_is_no_mask_and_names_that_do_not_fit_are_said(tmp_path, rng):
    tree(tmp_path / "a", rng)
    save_picture(tmp_path / "a/images/legend.png", drawn(rng, (1, 2)))
    export = read_export(tmp_path / "a", "masks")
    assert len(export.pictures) == 4
    assert any("legend.png" in remark for remark in export.remarks)
    tree(tmp_path / "b", rng)
    for number in range(4):
        path = tmp_path / f"b/masks/{number}.png"
        path.rename(path.with_name(f"{'zyxw'[number]}.png"))
    assert list(recognize(Place(tmp_path / "b"))) == ["masks"]
    with error_naming(PspError, "b/masks", "named like a photo"):
        MASKS.read(Place(tmp_path / "b"), ReadOptions())


def test_other_lossless_files_are_masks_too(tmp_path, rng):
    kinds = {"png": {}, "bmp": {}, "tif": {}, "gif": {}, "webp": {"lossless": True}}
    answers = {}
    for kind, options in kinds.items():
        answers[kind] = drawn(rng, (1, 2, 3))
        photo(tmp_path / f"images/{kind}.jpg", rng)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(answers[kind]).save(tmp_path / f"masks/{kind}.{kind}", **options)
    answers["deep"] = drawn(rng, (1, 2))
    photo(tmp_path / "images/deep.jpg", rng)
    save_picture(tmp_path / "masks/deep.png", answers["deep"].astype(np.uint16))
    export = read_export(tmp_path, "masks")
    assert export.classes == ("class_0", "class_1", "class_2", "class_3")
    for name, answer in answers.items():
        label = paint(picture_named(export, name), HEIGHT, WIDTH, export.classes, export.order)
        np.testing.assert_array_equal(label, answer)


def test_a_folder_a_picture_and_values_that_look_like_objects(tmp_path, rng):
    for number in range(5):
        photo(tmp_path / f"{number}/rgb.png", rng)
        label = drawn(rng, (3 * number + 1, 3 * number + 2, 3 * number + 3))
        save_picture(tmp_path / f"{number}/label.png", label)
    export = read_export(tmp_path, "masks")
    assert [p.image.parent for p in export.pictures] == [p.source.parent for p in export.pictures]
    assert any("instances" in remark for remark in export.remarks)
