"""From the name of a model to its weights file, for all commands.

A model is named by a run's folder, a weights file, or the name of published weights. If a path and
published weights have the same name, the path is taken.
"""

from pathlib import Path

from psp.errors import PspError, nearest
from psp.events import Report, ignore
from psp.runs import Model, model_at, newest_run, sibling_runs
from psp.zoo.catalog import entries
from psp.zoo.published import obtain


def find_model(name: str | Path | None, which: str | None = None, report: Report = ignore) -> Model:
    """Return the model of that name; None means the newest run under runs/.

    `which` chooses one of a run's weights, the best if None. Published weights are downloaded at
    their first use; `report` gets the events. Raises PspError if there is no such model.
    """
    path = newest_run() if name is None else Path(name)
    if path.exists():
        return model_at(path, which)
    published = entries()
    entry = published.get(str(name))
    if entry is None:
        near = nearest(path.name, [*sibling_runs(path), *published])
        raise PspError(
            f"{name}: no such run, weights file or published weights.{near} "
            "List published weights: psp models. Or train: psp train SHARDS"
        )
    if which is not None:
        raise PspError(
            f"{name}: --weights {which} is for the folder of a run; these are published weights."
        )
    return Model(obtain(entry, report), None, entry.name)


def is_published(name: str | Path) -> bool:
    """Whether a name means published weights: it is in the catalog and there is no such path."""
    return str(name) in entries() and not Path(name).exists()
