"""From the name of a model to its weights file, for all commands.

A model is named by a run's folder or its name alone (runs/NAME), a weights file, or the name of
published weights. What exists as a path is taken first, then a run of that name.
"""

from pathlib import Path

from psp.errors import PspError, nearest
from psp.events import Report, ignore
from psp.model.foreign import what_it_is
from psp.names import inside
from psp.run_state import newest_finished
from psp.runs import CONFIG, RUNS, Model, Run, model_at, run_folder, sibling_runs
from psp.zoo.catalog import entries
from psp.zoo.published import obtain


def find_model(name: str | Path | None, which: str | None = None, report: Report = ignore) -> Model:
    """Return the model of that name; None means the newest finished run under runs/.

    `which` chooses one of a run's weights, the best if None. Published weights are downloaded at
    their first use; `report` gets the events. Raises PspError if there is no such model.
    """
    path = newest_finished() if name is None else run_folder(name)
    if path.exists():
        _check_is_model(path)
        return model_at(path, which)
    published = entries()
    entry = published.get(str(name))
    if entry is None:
        near = nearest(path.name, [*sibling_runs(path), *inside(RUNS, CONFIG), *published])
        raise PspError(
            f"{name}: no such run, weights file or published weights.{near} "
            "List published weights: psp models; your runs: psp runs. Or train: psp train SHARDS"
        )
    if which is not None:
        raise PspError(
            f"{name}: --weights {which} is for the folder of a run; these are published weights."
        )
    return Model(obtain(entry, report), None, entry.name)


def is_published(name: str | Path) -> bool:
    """Whether a name means published weights: it is in the catalog, and neither path nor run."""
    return str(name) in entries() and not run_folder(name).exists()


def is_run(name: str | Path) -> bool:
    """Whether a name means the folder of a run: its path, or its name under runs/."""
    return (run_folder(name) / CONFIG).is_file()


def _check_is_model(path: Path) -> None:
    """Raise PspError for a folder that is no run, saying what it is, or what may be meant."""
    if not path.is_dir() or _is_config(Run(path).config):
        return
    also = RUNS / path
    if also != path and (also / CONFIG).is_file():
        raise PspError(f"{path}: not a run (it has no {CONFIG}). Or is {also} meant, which is one?")
    if (path / "manifest.json").is_file():
        near = nearest(path.name, inside(RUNS, CONFIG))
        raise PspError(
            f"{path}: these are shards, not a model.{near} Your runs: psp runs. Or train on them: "
            f"psp train {path}"
        )
    if what := what_it_is(path):
        raise PspError(f"{path}: {what}")


def _is_config(path: Path) -> bool:
    """Whether a file is of a run; other programs also call theirs config.json."""
    try:
        return b'"settings"' in path.read_bytes()
    except OSError:
        return False
