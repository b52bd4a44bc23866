"""The classes of several exports: joined by name, never by likeness unasked."""

from pathlib import Path

import pytest

from psp.annotations.doubt import DoubtError
from psp.annotations.records import AnnotatedPicture, Export, MaskFile
from psp.errors import PspError
from psp.prepare.own.classes import join_classes

PICTURE = AnnotatedPicture(name="a", source=Path("a.json"), wanted="a.jpg", image=Path("a.jpg"))
MASKED = AnnotatedPicture(
    name="b",
    source=Path("b.png"),
    wanted="b.jpg",
    image=Path("b.jpg"),
    drawn=MaskFile(Path("b.png"), "values", {0: "sky", 1: "road"}),
)


def export(*classes, pictures=(PICTURE,), **more):
    return Export(format="test", classes=classes, pictures=pictures, **more)


def test_names_are_joined_in_the_order_of_the_first_export_behind_the_background():
    joined = join_classes([export("car", "bus"), export("bus", "tree")], {}, undrawn_is_class=True)
    assert joined.names == ("background", "car", "bus", "tree")
    assert joined.background == "background"


def test_masks_that_name_every_pixel_need_no_background():
    joined = join_classes([export("sky", "road", pictures=(MASKED,))], {}, undrawn_is_class=True)
    assert joined.names == ("sky", "road") and joined.background == ""


def test_undrawn_pixels_may_be_ignored():
    joined = join_classes([export("car")], {}, undrawn_is_class=False)
    assert joined.names == ("car",) and joined.background == ""


def test_the_exports_own_name_for_the_background_is_kept():
    joined = join_classes(
        [export("_background_", "car", background="_background_")], {}, undrawn_is_class=True
    )
    assert joined.names == ("_background_", "car")
    assert joined.background == "_background_"


def test_two_names_for_the_background_become_one():
    joined = join_classes(
        [
            export("_background_", "car", background="_background_"),
            export("BG", "car", background="BG"),
        ],
        {},
        undrawn_is_class=True,
    )
    assert joined.names == ("background", "car")
    assert set(joined.meant["background"]) == {"_background_", "BG"}


@pytest.mark.parametrize("other", ["Moss", "moss ", "mo_ss", "MOSS"])
def test_similar_names_are_asked_about(other):
    both = [export("moss"), export(other)]
    with pytest.raises(DoubtError, match="--rename") as error:
        join_classes(both, {}, undrawn_is_class=True)
    answers = [answer.settings["rename"] for answer in error.value.answers]
    classes = [join_classes(both, renames, undrawn_is_class=False).names for renames in answers]
    assert classes == [("moss",), ("moss", other)]


def test_a_rename_joins_or_keeps_apart():
    both = [export("moss"), export("Moss")]
    joined = join_classes(both, {"Moss": "moss"}, undrawn_is_class=False)
    assert joined.names == ("moss",) and joined.meant["moss"] == ("moss", "Moss")
    apart = join_classes(both, {"Moss": "Moss", "moss": "moss"}, undrawn_is_class=False)
    assert apart.names == ("moss", "Moss")


def test_a_rename_of_what_is_not_there_names_what_is():
    with pytest.raises(PspError, match="rock") as error:
        join_classes([export("moss")], {"rock": "stone"}, undrawn_is_class=False)
    assert "moss" in str(error.value)


def test_ignored_names_are_no_classes():
    joined = join_classes(
        [export("__ignore__", "car", ignored=frozenset({"__ignore__"}))], {}, undrawn_is_class=False
    )
    assert joined.names == ("car",) and joined.ignored == ("__ignore__",)


def test_colors_are_the_exports_unless_two_classes_have_the_same():
    joined = join_classes(
        [export("car", "bus", colors={"car": (9, 9, 9), "bus": (9, 9, 9)})],
        {},
        undrawn_is_class=False,
    )
    assert joined.colors == {"car": (9, 9, 9)}
