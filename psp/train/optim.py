"""The learning rate, and which parameters it applies to."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from psp.settings.optimizer import OptimizerSettings


def poly(step: int, steps: int, power: float) -> float:
    """Return the factor on the learning rate at `step` of `steps`: (1 - step / steps) ** power.

    Paper, section 5.1. 1 at step 0; 0 after the last step.
    """
    return float((1 - step / steps) ** power)


def learning_rate(step: int, settings: OptimizerSettings) -> float:
    """Return the backbone's learning rate at `step`: from `lr` to `lr_min`, by `poly`.

    With a floor it is the formula of mmsegmentation's versions before 1.0; later ones divide by
    one step less, so that the last step has the floor itself.
    """
    factor = poly(step, settings.steps, settings.power)
    return settings.lr_min + (settings.lr - settings.lr_min) * factor


def parameter_groups(
    network: nn.Module,
    settings: OptimizerSettings,
    *,
    pretrained: str,
    reused: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return optimizer groups, each with `factor` (on the learning rate) and `weight_decay`.

    Parameters whose names start with `pretrained` have factor 1, all others `head_lr` (paper: 10),
    but those of the `reused` layers `reused_lr`; the biases of their convolutions, which are the
    classifiers', `bias_lr` times as much (Caffe release: 20 in all). Without `norm_decay`, batch
    norms and biases are not decayed, as in the Caffe release. Frozen parameters are left out.
    """
    biases = {
        id(module.bias)
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and module.bias is not None
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = 1.0 if name.startswith(pretrained) else settings.head_lr
        if any(name.startswith(f"{layer}.") for layer in reused):
            factor = settings.reused_lr
        if id(parameter) in biases and not name.startswith(pretrained):
            factor *= settings.bias_lr
        decayed = settings.norm_decay or parameter.ndim > 1
        decay = settings.weight_decay if decayed else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return [
        {"params": parameters, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
