"""How a model is named, everywhere: a run's folder, a weights file, or published weights.

A path that exists wins over a name.
"""

from pathlib import Path

from psp.errors import PspError, nearest
from psp.runs import Model, beside, model_at, newest_run
from psp.zoo.catalog import entries
from psp.zoo.published import Report, obtain


def find_model(
    name: str | Path | None, which: str | None = None, report: Report = lambda event: None
) -> Model:
    """Resolve a model's name; None takes the newest run under runs/.

    `which` is one of a run's weights, best if None. Published weights are fetched at their first
    use, of which `report` hears. Raises PspError that names the way out.
    """
    path = newest_run() if name is None else Path(name)
    if path.exists():
        return model_at(path, which)
    known = entries()
    entry = known.get(str(name))
    if entry is None:
        near = nearest(path.name, [*beside(path), *known])
        raise PspError(
            f"{name}: no such run or weights file, and no published weights.{near} "
            "See: psp models. Or train: psp train SHARDS"
        )
    if which is not None:
        raise PspError(f"{name}: --weights {which} chooses among a run's; these are published.")
    return Model(obtain(entry, report), None, entry.name)


def is_published(name: str | Path) -> bool:
    """Whether a name means published weights: one of the catalog that is no path here."""
    return str(name) in entries() and not Path(name).exists()
