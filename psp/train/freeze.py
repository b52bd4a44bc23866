"""Parts of a network that are not trained."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from psp.model.pspnet import PSPNet
from psp.settings.start import FREEZABLE, StartSettings

# The backbone's modules, by the paper's stages.
_STAGES = {
    "stem": ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),
    "stage2": ("layer1",),
    "stage3": ("layer2",),
    "stage4": ("layer3",),
    "stage5": ("layer4",),
}


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
    names = [name for stage in stages for name in _STAGES[stage]]
    return [getattr(network.backbone, name) for name in names if hasattr(network.backbone, name)]
