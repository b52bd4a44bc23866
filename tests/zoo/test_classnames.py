"""The same classes under other names and in another order are found, or the list is refused."""

import pytest
import torch
from helpers.plain_nets import MMSegmentation, randomize
from safetensors.torch import load_file

import psp as package
from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.model.weights import read_weights
from psp.zoo.import_weights import import_weights
from psp.zoo.importers.classnames import class_positions, color_remarks, remarks

CONTEXT = find_card("context60").names
# mmsegmentation's names, by the alphabet as its converter numbers them.
ALPHABET = (
    "background",
    *sorted(
        {"diningtable": "table", "clothes": "cloth", "bedcloth": "bedclothes"}.get(name, name)
        for name in CONTEXT[1:]
    ),
)


def test_case_blanks_and_hyphens_make_no_other_class():
    ours = ("wall", "bed", "window", "traffic light")
    assert class_positions(("Wall", "bed ", "window", "traffic_light"), ours) == (0, 1, 2, 3)
    assert class_positions(("window", "traffic-light", "bed", "wall"), ours) == (3, 2, 0, 1)
    assert remarks(("Wall", "bed ", "window", "traffic_light"), ours, (0, 1, 2, 3)) == []


def test_colors_tell_an_order_that_no_names_do():
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    ours = (red, green, blue)
    assert color_remarks(None, ours, None) == color_remarks(ours, ours, None) == []
    assert color_remarks((green, blue, red), ours, (2, 0, 1)) == []
    assert "1 classes" in color_remarks((red, green, (1, 2, 3)), ours, None)[0]
    with pytest.raises(PspError, match="another order"):
        color_remarks((green, blue, red), ours, None)


def test_a_similar_name_is_no_proof():
    """window is how windowpane begins; in another order that is not taken for an answer."""
    ours = ("wall", "bed", "windowpane", "traffic light")
    assert class_positions(("wall", "bed", "window", "traffic light"), ours) == (0, 1, 2, 3)
    for theirs in (
        ("window", "traffic light", "bed", "wall"),
        ("bed", "wall", "pane", "traffic light"),
    ):
        with pytest.raises(PspError) as error:
            class_positions(theirs, ours)
        assert "'windowpane'" in str(error.value)


@pytest.mark.parametrize(
    ("card", "name"), [("ade20k", "bed "), ("voc2012", "pottedplant"), ("cityscapes", "rider")]
)
def test_mmsegmentations_other_lists_are_the_cards(card, name):
    """Their only difference from the shipped cards' is a blank (mmseg/utils/class_names.py)."""
    ours = find_card(card).names
    theirs = [name if entry == name.strip() else entry for entry in ours]
    assert name in theirs
    assert class_positions(theirs, ours) == tuple(range(len(ours)))
    assert remarks(theirs, ours, range(len(ours))) == []


def test_contexts_names_are_told_apart_in_any_order():
    positions = class_positions(ALPHABET, CONTEXT)
    assert sorted(positions) == list(range(60)) and positions != tuple(range(60))
    theirs = {CONTEXT[index]: ALPHABET[position] for index, position in enumerate(positions)}
    changed = {ours: name for ours, name in theirs.items() if ours != name}
    assert changed == {"diningtable": "table", "clothes": "cloth", "bedcloth": "bedclothes"}
    sentences = remarks(ALPHABET, CONTEXT, positions)
    assert "order" in sentences[0] and "cloth → clothes" in sentences[1]


def test_a_renamed_class_stays_only_where_all_others_stay():
    ours = ("sky", "road", "person", "car")
    assert class_positions(("sky", "road", "human", "car"), ours) == (0, 1, 2, 3)
    for theirs, subjects in (
        (("road", "sky", "human", "car"), ("class 2", "'person'", "'human'")),
        (("a", "b", "c", "car"), ("class 0", "'sky'", "'a'")),
        (("sky", "sky", "person", "car"), ("two classes", "'sky'")),
        (("sky", "road", "car"), ("3 classes", "4")),
    ):
        with pytest.raises(PspError) as error:
            class_positions(theirs, ours)
        assert all(subject in str(error.value) for subject in subjects)


@pytest.fixture(scope="module")
def network60():
    return randomize(MMSegmentation(18, 60))


def saved(folder, network, names, new=False):
    note = {"dataset_meta": {"classes": names}} if new else {"CLASSES": names}
    meta = {} if names is None else note
    torch.save({"meta": meta, "state_dict": network.state_dict()}, folder / "m.pth")
    return folder / "m.pth"


@pytest.mark.slow
@pytest.mark.parametrize("new", [False, True])
def test_channels_follow_their_names_into_the_cards_order(tmp_path, network60, new):
    path, out = saved(tmp_path, network60, ALPHABET, new), tmp_path / "w.safetensors"
    found = import_weights(path, out, find_card("context60"))
    assert any("order" in remark for remark in found.remarks)
    predictor = package.load(out, "cpu", "fp32")
    assert predictor.classes == CONTEXT and found.remarks[0] in predictor.header.source
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
    for names, reason in ((vocs_order, "alphabetical"), (None, "missing")):
        with pytest.raises(PspError) as error:
            import_weights(saved(tmp_path, network60, names), tmp_path / "w.safetensors", card)
        text = str(error.value)
        assert "m.pth: " in text and "PASCAL Context" in text and reason in text
        assert "psp models" in text
        assert "\n" not in str(error.value) and not (tmp_path / "w.safetensors").exists()


@pytest.mark.slow
def test_published_context_follows_its_labels_whatever_its_list_says(tmp_path, network60):
    """The labels number the classes by raw value: mmsegmentation's own list of today, by name."""
    card = find_card("context60")
    by_value = [entry.name for entry in sorted(card.classes, key=lambda entry: min(entry.raw))]
    assert class_positions(ALPHABET, by_value) == tuple(range(60))
    vocs_order = tuple({"diningtable": "table"}.get(name, name) for name in CONTEXT)
    weights, outputs = find_card("context").names, []
    assert weights == CONTEXT[1:]
    for number, names in enumerate((ALPHABET, vocs_order, None)):
        path, out = saved(tmp_path, network60, names), tmp_path / f"{number}.safetensors"
        found = import_weights(path, out, card, by_raw_values=True)
        assert any("order of the labels" in text for text in found.remarks) == (number == 1)
        outputs.append(load_file(out)["head.classifier.weight"])
    assert all(torch.equal(output, outputs[0]) for output in outputs)
    theirs = network60.decode_head.conv_seg.weight.detach()
    assert torch.equal(outputs[0][CONTEXT.index("diningtable")], theirs[ALPHABET.index("table")])
    with pytest.raises(PspError, match="thing 0"):
        names = tuple(f"thing {number}" for number in range(60))
        import_weights(saved(tmp_path, network60, names), out, card, by_raw_values=True)


@pytest.mark.slow
def test_one_line_says_all_that_a_file_without_configuration_leaves_open(tmp_path, network60):
    path = saved(tmp_path, network60, ALPHABET)
    found = import_weights(path, tmp_path / "w.safetensors", find_card("context60"))
    (text,) = (remark for remark in found.remarks if "assumed" in remark)
    for assumed in ("whole pictures", "long side of 512", "context60", "align_corners", "473"):
        assert assumed in text
    assert text in read_weights(tmp_path / "w.safetensors")[0].source
    (tmp_path / "c.py").write_text(
        "head = dict(type='PSPHead')\ncrop_size = (512, 1024)\n"
        "model = dict(test_cfg=dict(mode='whole'))\n"
        "test_pipeline = [dict(type='Resize', scale=(520, 520), keep_ratio=True)]\n"
    )
    found = import_weights(path, tmp_path / "w.safetensors", find_card("context60"))
    assert not any("assumed" in remark for remark in found.remarks)


def test_another_sets_names_are_refused_in_one_line(tmp_path, psp):
    network = randomize(MMSegmentation(18, 21))
    names = tuple(f"thing {number}" for number in range(21))
    saved(tmp_path, network, names)
    code, _, err = psp("import", "m.pth", "w.safetensors", "--card", "voc2012")
    assert code == 2 and err.count("\n") == 1
    assert "m.pth: an mmsegmentation PSPNet" in err
    assert "'background'" in err and "'thing 0'" in err and "--card" in err
