"""Parts of a network that are not trained."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from psp.model.pspnet import PSPNet
from psp.settings.start import FREEZABLE, StartSettings


def freeze(network: PSPNet, upto: str) -> None:
    """Exclude the backbone's parameters from training, up to and including a stage."""
    for module in _frozen(network, upto):
        module.requires_grad_(False)


def training_mode(network: PSPNet, settings: StartSettings) -> None:
    """Set the network to training, except for frozen stages and batch norms, which keep their
    running statistics."""
    norms = settings.freeze_norm
    network.train()
    fixed = _frozen(network, settings.freeze)
    if norms != "none":
        root = network if norms == "all" else network.backbone
        fixed += [module for module in root.modules() if isinstance(module, _BatchNorm)]
    for module in fixed:
        module.eval()


def _frozen(network: PSPNet, upto: str) -> list[nn.Module]:
    if upto == "none":
        return []
    stages = FREEZABLE[1 : FREEZABLE.index(upto) + 1]
    backbone = network.backbone
    return [backbone.get_submodule(name) for stage in stages for name in backbone.stages[stage]]
