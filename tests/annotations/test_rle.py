"""Run lengths against encoders that go pixel by pixel, and against pycocotools where it is."""

import numpy as np
import pytest
from helpers.covers import brush_bytes, column_counts, on_picture, packed

from psp.annotations.rle import (
    BoxRuns,
    BrushBits,
    coco_region,
    mask_runs,
    pack,
    runs,
    unpack,
    value_runs,
)


@pytest.fixture(params=[(1, 1, 1.0), (7, 5, 0.4), (23, 61, 0.05), (40, 3, 0.9), (9, 14, 0.0)])
def mask(request, rng):
    """Masks of several shapes; the last is empty."""
    height, width, share = request.param
    return rng.random((height, width)) < share


def shape_of(mask):
    return {"size": list(mask.shape)}


def test_column_runs_as_list_and_packed(mask):
    counts = column_counts(mask)
    for given in (counts, packed(counts), [float(count) for count in counts]):
        region = coco_region({**shape_of(mask), "counts": given})
        assert np.array_equal(on_picture(region, *mask.shape), mask)


def test_what_is_packed_here_is_what_others_pack(mask):
    assert mask_runs(mask.T).tolist() == column_counts(mask)
    assert pack(mask_runs(mask.T)) == packed(column_counts(mask))


def test_pycocotools_agrees(mask):
    coco = pytest.importorskip("pycocotools.mask")
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = encoded["counts"].decode()
    assert np.array_equal(on_picture(coco_region({**encoded, "counts": text}), *mask.shape), mask)
    assert pack(mask_runs(mask.T)) == text


def test_large_numbers_are_packed_and_unpacked():
    counts = [0, 12_000_000, 3, 5, 12_000_000, 1, 0, 40_000_000]
    assert unpack(packed(counts)).tolist() == counts
    assert pack(counts) == packed(counts)


def test_a_mask_covers_its_own_part_only():
    counts = [3000 * 400 + 20, 7, 3000 * 600 - 27]
    top, left, part = coco_region({"size": [3000, 1000], "counts": counts}).cover(3000, 1000)
    assert (top, left, part.shape) == (20, 400, (7, 1))
    assert part.all()


def test_runs_in_a_box(mask):
    row_counts = column_counts(mask.T)
    region = BoxRuns(4, 2, mask.shape[1], mask.shape[0], runs(row_counts))
    height, width = mask.shape[0] + 3, mask.shape[1] + 9
    expected = np.zeros((height, width), bool)
    expected[2 : 2 + mask.shape[0], 4 : 4 + mask.shape[1]] = mask
    assert np.array_equal(on_picture(region, height, width), expected)


def test_a_box_over_the_edge_is_cut(rng):
    mask = rng.random((6, 8)) < 0.5
    region = BoxRuns(-3, 7, 8, 6, mask_runs(mask))
    expected = np.zeros((11, 9), bool)
    expected[7:, :5] = mask[:4, 3:]
    assert np.array_equal(on_picture(region, 11, 9), expected)


@pytest.mark.parametrize("literals", [False, True])
@pytest.mark.parametrize("sizes", [(3, 4, 8, 16), (2, 5, 6, 9)])
def test_brush_bits(mask, literals, sizes):
    region = BrushBits(*mask.shape, brush_bytes(mask, sizes, literals))
    assert np.array_equal(on_picture(region, *mask.shape), mask)


def test_value_and_run(rng):
    values = rng.integers(0, 4, (5, 11)).ravel()
    dense = [number for value in values.tolist() for number in (value, 1)]
    for wanted in range(5):
        region = BoxRuns(0, 0, 11, 5, value_runs(dense, wanted))
        assert np.array_equal(on_picture(region, 5, 11).ravel(), values == wanted)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([5, 3], "8 pixels"),
        ([5, 30, 10], "45 pixels"),
        ([5, -3, 33], "from 0 up"),
        ([5, 3.5, 26.5], "from 0 up"),
        ([0, 10**15], "a run of"),
        ([0, 10**30], "run length"),
        ([0, float("nan")], "run length"),
        ([0, "35"], "run length"),
        ([[0, 35]], "run length"),
        (None, "run length"),
        (35, "run length"),
        ("é", "characters"),
        ("~", "characters"),
        ("P", "in the middle"),
        ("o" * 40 + "0", "too large"),
        ("00n0", "negative|pixels"),
        ("", "0 pixels"),
    ],
)
def test_runs_that_do_not_fit(counts, reason):
    with pytest.raises(ValueError, match=reason):
        coco_region({"size": [5, 7], "counts": counts}).cover(5, 7)


@pytest.mark.parametrize("size", [None, [5], [5, "7"], [5, 7.5], {}, [5, 10**400]])
def test_a_size_that_is_none(size):
    with pytest.raises(ValueError, match="RLE"):
        coco_region({"size": size, "counts": [35]})


def test_a_mask_of_another_size():
    with pytest.raises(ValueError, match="7x5.*8x5"):
        coco_region({"size": [5, 7], "counts": [35]}).cover(5, 8)
    with pytest.raises(ValueError, match="larger than the picture"):
        BoxRuns(0, 0, 1 << 40, 1, runs([1 << 40])).cover(5, 8)


def test_brush_bits_that_do_not_fit(rng):
    data = brush_bytes(rng.random((5, 7)) < 0.5)
    for size in range(len(data)):
        with pytest.raises(ValueError, match="too early"):
            BrushBits(5, 7, data[:size]).cover(5, 7)
    with pytest.raises(ValueError, match="another picture"):
        BrushBits(7, 7, data).cover(7, 7)
    with pytest.raises(ValueError, match="7x5.*7x7"):
        BrushBits(5, 7, data).cover(7, 7)
