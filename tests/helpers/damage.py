"""Ways to break a copy of a miniature official tree, one function each.

A function gets the copied tree (see fuzz/trees.py) and a random generator, changes files in place,
and returns the paths that an error message may name. `DAMAGES` has them by name; `needs` is the
trait that a tree must have. Each module adds its own when it is imported; the order of the imports
is the order of the table that fuzz.py prints.
"""

# isort: off
from helpers import damage_files, damage_labels, damage_images, damage_lists, damage_matlab
from helpers.damage_tools import DAMAGES

# isort: on

__all__ = [
    "DAMAGES",
    "damage_files",
    "damage_images",
    "damage_labels",
    "damage_lists",
    "damage_matlab",
]
