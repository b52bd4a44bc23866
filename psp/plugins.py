"""Parts that are found by name: psp's own in a table, those of other packages by entry points.

A table maps a name to "module:attribute", so that names are known without loading any module.
Another package adds a name by an entry point in the table's group, for example in pyproject.toml:

    [project.entry-points."psp.writers"]
    polygons = "my_package.polygons:POLYGONS"

psp's own names come first. Entry points are read only when a name is not in the table, or when
names are listed, because reading them takes tens of milliseconds.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from psp.errors import PspError, nearest


def known_names(table: Mapping[str, str], group: str) -> list[str]:
    """Return all names: those of the table, then those of the entry points of `group`."""
    from importlib import metadata  # here, as psp --help needs it for nothing

    others = {point.name for point in metadata.entry_points(group=group)}
    return [*table, *sorted(others - table.keys())]


def load_named(table: Mapping[str, str], group: str, name: str, subject: str) -> Any:
    """Return the attribute that `name` stands for, importing its module.

    Raises PspError, which begins with `subject` (what was asked, e.g. "--write npi"), for an
    unknown name and for an entry point that cannot be loaded.
    """
    if name in table:
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(module), attribute)
    from importlib import metadata

    for point in metadata.entry_points(group=group, name=name):
        try:
            return point.load()
        except Exception as error:  # whatever another package's module raises
            package = point.dist.name if point.dist else "an installed package"
            reason = f"{type(error).__name__}: {error}"
            raise PspError(
                f"{subject}: {point.value} of {package} cannot be loaded ({reason}). Update or "
                "uninstall that package"
            ) from error
    known = known_names(table, group)
    raise PspError(f"{subject}: unknown.{nearest(name, known)} Known are: {', '.join(known)}")
