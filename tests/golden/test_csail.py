"""psp gives the probabilities and labels that CSAIL's own code computed for the same networks.

run_csail.py made csail.npz with that code; its docstring says how.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.golden import beside, check_probabilities
from helpers.plain_nets import CSAILDecoder, CSAILEncoder

from psp.model.choice import Choice
from psp.model.inference import sliding_window
from psp.model.pspnet import build
from psp.model.weights import Header
from psp.zoo.importers.csail import read_csail

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = Path(__file__).parent
cases, seeded = beside(HERE, "csail_cases"), beside(HERE, "seeded")


def imported(name):
    """Return a network as psp imports it, ready to run, and its header."""
    depth, seed = cases.NETWORKS[name]
    states = []
    for part in (
        CSAILEncoder(depth),
        CSAILDecoder(2048 if depth >= 50 else 512, cases.CLASSES),
    ):
        shapes = {key: tuple(tensor.shape) for key, tensor in part.state_dict().items()}
        arrays = seeded.values(shapes, seed)
        states.append({key: torch.from_numpy(array) for key, array in arrays.items()})
    found = read_csail(*states)
    network = build(found.architecture)
    network.load_state_dict(found.tensors)
    model = sliding_window(network.eval(), found.preprocessing, torch.device("cpu"), torch.float32)
    header = Header(
        architecture=found.architecture,
        classes=tuple("abcde"),
        palette=((0, 0, 0),) * cases.CLASSES,
        dataset="five",
        data="",
        crop=473,
        base_size=600,
        step=0,
        procedure=found.procedure,
    )
    return model, header


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["several", *(pytest.param(n, marks=pytest.mark.slow) for n in ("one", "long", "r50"))]
)
def test_probabilities_and_labels_are_csails(name):
    network, image, sides, longest = cases.CASES[name]
    model, header = imported(network)
    published = Choice(multi_scale=len(sides) > 1)(header)
    assert (published.name, published.windows, published.flip) == ("csail", "whole", False)
    scales = tuple(side / sides[0] for side in sides)
    resize = f"{longest}x{sides[0]}"
    procedure = replace(published, resize=resize, scales=scales)
    found = model.probabilities(seeded.picture(*image), procedure).numpy()
    with np.load(HERE / "csail.npz") as results:
        expected, labels = results[f"{name}/probabilities"], results[f"{name}/labels"]
    check_probabilities(name, found, expected, labels, cases.STEP)


@pytest.mark.slow
def test_multi_scale_is_its_five_short_sides():
    _, header = imported("r18")
    procedure = Choice(multi_scale=True)(header)
    rules, target = procedure.rules, procedure.target(400)
    short = [min(rules.size((300, 400), scale, target)) for scale in procedure.scales]
    assert short == [304, 376, 456, 528, 600]  # 300, 375, 450, 525 and 600, up to multiples of 8
    assert max(rules.size((300, 1200), 1.0, target)) == 1000
