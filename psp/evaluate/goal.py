"""A score that must be reached, as a test that runs after every change asks for."""

from psp.errors import PspError
from psp.evaluate.evaluation import Evaluation


def check_goal(percent: float | None) -> None:
    """Raise PspError for a mIoU in percent that is none, before anything is measured."""
    if percent is None or 1 <= percent <= 100:
        return
    share = 0 < percent < 1
    remedy = f" Write {100 * percent:g} for a share of {percent:g}." if share else ""
    raise PspError(f"--min-miou {percent:g}: is in percent, as it is shown: 1 to 100.{remedy}")


def missed_by(evaluation: Evaluation, percent: float) -> str:
    """Return by how much the mIoU is below `percent`, in one line; "" where it is not.

    Raises PspError where there are no scores.
    """
    if evaluation.tally is None:
        raise PspError(
            f"--min-miou {percent:g}: {evaluation.dataset} {evaluation.split} has no labels, so "
            "there is no mIoU. Name a split that has: --split NAME"
        )
    found = 100 * evaluation.tally.scores()["miou"]
    if found >= percent:
        return ""
    digits = 2 if round(percent - found, 2) else 6  # never "0.00 below"
    return (
        f"mIoU {found:.{digits}f} is {percent - found:.{digits}f} below the {percent:g} of "
        "--min-miou"
    )
