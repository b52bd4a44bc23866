"""The same classes under other names and in another order are found, or the list is refused."""

import pytest
import torch
from helpers.plain_nets import MMSegmentation, randomize

import psp as package
from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.zoo.import_weights import import_weights
from psp.zoo.importers.classnames import differences, places

CONTEXT = find_card("context60").names
# mmsegmentation's names, by the alphabet as its converter numbers them.
ALPHABET = (
    "background",
    *sorted(
        {"diningtable": "table", "clothes": "cloth", "bedcloth": "bedclothes"}.get(name, name)
        for name in CONTEXT[1:]
    ),
)


def test_another_spelling_is_the_same_class():
    ours = ("wall", "bed", "windowpane", "traffic light")
    assert places(("Wall", "bed ", "window", "traffic_light"), ours) == (0, 1, 2, 3)
    assert places(("window", "traffic-light", "bed", "wall"), ours) == (3, 2, 0, 1)
    assert differences(("Wall", "bed ", "window", "traffic_light"), ours, (0, 1, 2, 3)) == [
        "classes the card calls otherwise: window → windowpane"
    ]


def test_contexts_names_are_told_apart_in_any_order():
    where = places(ALPHABET, CONTEXT)
    assert sorted(where) == list(range(60)) and where != tuple(range(60))
    theirs = {CONTEXT[number]: ALPHABET[place] for number, place in enumerate(where)}
    changed = {ours: name for ours, name in theirs.items() if ours != name}
    assert changed == {"diningtable": "table", "clothes": "cloth", "bedcloth": "bedclothes"}
    remarks = differences(ALPHABET, CONTEXT, where)
    assert "another order" in remarks[0] and "cloth → clothes" in remarks[1]


def test_a_renamed_class_stays_only_where_all_others_stay():
    ours = ("sky", "road", "person", "car")
    assert places(("sky", "road", "human", "car"), ours) == (0, 1, 2, 3)
    for theirs, message in (
        (("road", "sky", "human", "car"), "class 2 is 'person', the file's 'human'"),
        (("a", "b", "c", "car"), "class 0 is 'sky', the file's 'a'"),
        (("sky", "sky", "person", "car"), "two classes 'sky'"),
        (("sky", "road", "car"), "names 3 classes, not 4"),
    ):
        with pytest.raises(PspError, match=message):
            places(theirs, ours)
    # Either of two left over could be meant: never predicted.
    with pytest.raises(PspError, match="cannot be matched"):
        places(("car", "cars", "sky", "carton"), ("sky", "cart", "car", "cartoons"))


@pytest.fixture(scope="module")
def network60():
    return randomize(MMSegmentation(18, 60))


def saved(folder, network, names, new=False):
    note = {"dataset_meta": {"classes": names}} if new else {"CLASSES": names}
    meta = {} if names is None else note
    torch.save({"meta": meta, "state_dict": network.state_dict()}, folder / "m.pth")
    return folder / "m.pth"


@pytest.mark.parametrize("new", [False, True])
def test_channels_follow_their_names_into_the_cards_order(tmp_path, network60, new):
    path, out = saved(tmp_path, network60, ALPHABET, new), tmp_path / "w.safetensors"
    found = import_weights(path, out, find_card("context60"))
    assert any("another order" in remark for remark in found.remarks)
    predictor = package.load(out, "cpu", "fp32")
    assert predictor.classes == CONTEXT and "another order" in predictor.header.source
    images = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        ours, (theirs, theirs_aux) = predictor.network(images), network60(images)
        ours_aux = predictor.network.aux(predictor.network.backbone(images)[0])
    order = [
        ALPHABET.index(n)
        for n in (
            {"diningtable": "table", "clothes": "cloth", "bedcloth": "bedclothes"}.get(n, n)
            for n in CONTEXT
        )
    ]
    scale = theirs.max() - theirs.min()
    assert (ours.main - theirs[:, order]).abs().max() <= 1e-5 * scale
    assert (ours_aux - theirs_aux[:, order]).abs().max() <= 1e-4 * scale
    assert (ours.main - theirs).abs().max() > 0.1 * scale  # the order is no small matter


def test_contexts_order_in_doubt_is_refused(tmp_path, network60):
    card = find_card("context60")
    vocs_order = tuple({"diningtable": "table"}.get(name, name) for name in CONTEXT)
    for names, message in ((vocs_order, "file's names do not"), (None, "names are missing")):
        with pytest.raises(PspError, match=f"not certain.*{message}") as error:
            import_weights(saved(tmp_path, network60, names), tmp_path / "w.safetensors", card)
        assert "\n" not in str(error.value) and not (tmp_path / "w.safetensors").exists()


def test_another_sets_names_are_refused_in_one_line(tmp_path, psp):
    network = randomize(MMSegmentation(18, 21))
    names = tuple(f"thing {number}" for number in range(21))
    saved(tmp_path, network, names)
    code, _, err = psp("import", "m.pth", "w.safetensors", "--card", "voc2012")
    assert code == 2 and err.count("\n") == 1
    assert "m.pth: an mmsegmentation PSPNet" in err
    assert "card's class 0 is 'background', the file's 'thing 0'" in err and "--card" in err
