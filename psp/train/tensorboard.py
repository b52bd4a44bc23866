"""The curves of a run for TensorBoard, an extra."""

from pathlib import Path

from psp.errors import PspError
from psp.evaluate.metrics import SCORES
from psp.train.run_log import Event, Step, Validation


class TensorBoardLog:
    """Writes losses, learning rate, speed and scores as event files into a folder.

    A resumed run goes on in a file of its own; TensorBoard shows the newer value of a step.
    """

    def __init__(self, folder: Path) -> None:
        """Write nothing yet. Raises PspError when TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise PspError(
                "tensorboard=true: TensorBoard is not installed. pip install tensorboard"
            ) from None
        self.folder, self.open_writer = folder, SummaryWriter
        self.writer: SummaryWriter | None = None

    def __enter__(self) -> "TensorBoardLog":
        return self

    def __exit__(self, *error: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step):
            values = {
                "loss/total": event.loss,
                **{f"loss/{name}": value for name, value in event.terms.items()},
                "learning rate": event.lr,
                "images per second": event.images_per_second,
            }
        elif isinstance(event, Validation):
            values = {
                f"validation/{score.title}": event.scores[score.key]
                for score in SCORES
                if score.key in event.scores
            }
        else:
            return
        if self.writer is None:
            self.writer = self.open_writer(str(self.folder))
        for name, value in values.items():
            self.writer.add_scalar(name, value, event.step)
