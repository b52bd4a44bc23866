"""Importers are asked one after the other, psp's own before those of other packages."""

import numpy as np
import pytest
import torch
from helpers.errors import error_naming

from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.model.weights import load_network
from psp.plugins import known_names, load_named
from psp.zoo.import_weights import import_weights
from psp.zoo.importers.importer import Importer, SavedNetwork
from psp.zoo.importers.registry import GROUP, IMPORTERS, find_importer

SCENES = find_card("scenes")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    spec = Architecture(backbone="resnet18", classes=len(SCENES.classes), head_width=8, aux=False)
    return build(spec)


@pytest.fixture
def npz(tmp_path, network):
    """A network in the format of tests/plugin, with its classes in the reverse order."""
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    np.savez(tmp_path / "net.npz", classes=np.array(SCENES.names[::-1]), **arrays)
    return tmp_path / "net.npz"


@pytest.mark.parametrize("name", IMPORTERS)
def test_an_importer_has_the_name_that_it_is_listed_by(name):
    importer = load_named(IMPORTERS, GROUP, name, name)
    assert isinstance(importer, Importer) and importer.name == name


@pytest.mark.slow
def test_the_importer_of_another_package_is_found_by_its_entry_point(
    plugin, npz, network, tmp_path
):
    found = import_weights(npz, tmp_path / "w.safetensors", SCENES)
    assert found.kind == "npz" and "npz" in known_names(IMPORTERS, GROUP)
    loaded, header = load_network(tmp_path / "w.safetensors")
    assert header.classes == SCENES.names and "net.npz, SHA-256" in header.source
    assert torch.equal(loaded.head.classifier.bias, network.head.classifier.bias.flip(0))
    np.savez(npz, weight=np.zeros(3))
    with error_naming(PspError, npz, "list of classes"):
        import_weights(npz, tmp_path / "other.safetensors", SCENES)


def test_without_that_package_its_files_are_not_recognized(no_plugin, npz, tmp_path):
    with error_naming(PspError, npz):
        import_weights(npz, tmp_path / "w.safetensors", SCENES)


def test_another_package_cannot_take_over_what_psp_reads(plugin, tmp_path, monkeypatch):
    greedy = Importer("greedy", lambda saved: True, lambda saved: None)
    monkeypatch.setattr("psp_plugin.importer.NPZ", greedy)
    tensors = {"layer0.0.weight": torch.zeros(1), "cls.4.weight": torch.zeros(1)}
    torch.save(tensors, tmp_path / "a.pth")
    assert find_importer(SavedNetwork(tmp_path / "a.pth")).name == "semseg"
    torch.save({"other": torch.zeros(1)}, tmp_path / "b.pth")
    assert find_importer(SavedNetwork(tmp_path / "b.pth")) is greedy
    monkeypatch.setattr("psp_plugin.importer.NPZ", "npz")
    with error_naming(PspError, "'npz'", GROUP):
        find_importer(SavedNetwork(tmp_path / "b.pth"))
