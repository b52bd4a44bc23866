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

    Square windows that are not 8n+1, which networks have that do not align corners, are named by
    both sides: they are not padded.
    """
    crop = config.augmentation.crop
    own = carried(config) or Published("torch")
    windows = f"{crop}x{crop}" if own.windows == "square" and crop % 8 != 1 else own.windows
    base_size = None if own.resize else config.data.base_size
    return Procedure(
        crop, base_size, name=own.name, windows=windows, stride=own.stride, resize=own.resize
    )
