"""All importers by name, and which of them reads a file."""

from collections.abc import Iterator

from torch import Tensor

from psp.errors import PspError
from psp.model.foreign import what_it_is
from psp.model.weights import is_weights
from psp.plugins import known_names, load_named
from psp.zoo.importers.importer import Importer, SavedNetwork

GROUP = "psp.importers"  # the entry points of other packages' importers
IMPORTERS = {
    "caffe": "psp.zoo.importers.caffe:IMPORTER",
    "csail": "psp.zoo.importers.csail:IMPORTER",
    "semseg": "psp.zoo.importers.semseg:IMPORTER",
    "mmsegmentation": "psp.zoo.importers.mmseg:IMPORTER",
}


def find_importer(saved: SavedNetwork) -> Importer:
    """Return the first importer that recognizes a network.

    Raises PspError if there is no such file, it is damaged, or no importer recognizes it.
    """
    path = saved.path
    if not path.exists():
        raise PspError(f"{path}: no such file.")
    if path.suffix == ".safetensors" and is_weights(path):
        raise PspError(
            f"{path}: already a psp weights file. Use it as it is: psp predict PHOTOS -m {path}"
        )
    for importer in _importers():
        if importer.recognizes(saved):
            return importer
    if path.is_dir():
        raise PspError(f"{path}: {what_it_is(path) or 'a folder. Name the weights file in it'}")
    raise PspError(f"{path}: {_not_recognized(saved.tensors)}")


def _importers() -> Iterator[Importer]:
    """Yield psp's own importers, and then those of other packages."""
    for name in IMPORTERS:
        yield _importer(name)
    for name in known_names(IMPORTERS, GROUP):
        if name not in IMPORTERS:
            yield _importer(name)


def _importer(name: str) -> Importer:
    importer = load_named(IMPORTERS, GROUP, name, f"importer '{name}'")
    if not isinstance(importer, Importer):
        raise PspError(f"importer '{name}': its entry point in {GROUP} is not an Importer.")
    return importer


def _not_recognized(tensors: dict[str, Tensor]) -> str:
    """Return an error message for tensors that no importer recognizes."""
    if "fc.weight" in tensors:
        return (
            "an ImageNet classifier, not a PSPNet. To start training from it: psp train SHARDS "
            "--init FILE"
        )
    first = ", ".join(list(tensors)[:3])
    return f"not a PSPNet that psp can import; its first tensors are {first}"
