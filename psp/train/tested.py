"""How a run's network is tested: in its validations, and by default later, as its weights say."""

from psp.model.procedure import Procedure, Published
from psp.settings.config import TrainConfig


def carried(config: TrainConfig) -> Published | None:
    """Return the procedure that the run's weights carry; None for that of psp's own networks.

    Raises PspError for settings that no procedure has.
    """
    data = config.data
    if (data.procedure, data.windows, data.stride, data.resize) == ("torch", "square", None, None):
        return None
    return Published(data.procedure, data.windows, data.stride, data.resize)


def validation(config: TrainConfig) -> Procedure:
    """Return the procedure of validations: one scale, without flip. Raises PspError as `carried`.

    Its windows are the training's crops where it has none of its own. Square ones that are not
    8n+1, which networks have that do not align corners, are named by both sides: they are not
    padded.
    """
    crop = config.augmentation.crop
    side = crop if isinstance(crop, int) else None
    own = carried(config) or Published("torch")
    windows = own.windows
    if windows == "square" and (side is None or side % 8 != 1):
        windows = str(config.augmentation.size)
    base_size = None if own.resize else config.data.base_size
    return Procedure(
        side, base_size, name=own.name, windows=windows, stride=own.stride, resize=own.resize
    )
