"""Values that no header of psp holds, put in the place of each value of a good one."""

import copy
import itertools

POISON = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1.5,
    "",
    "1",
    "a\0b",
    "\x1b]0;x\x07",
    "../../x",
    "/etc/passwd",
    [],
    [[]],
    {},
    {"x": {}},
    ["a", "a"],
    [0] * 1000,
)


def places(value, path=()):
    """Yield the path of every value in a JSON value, itself left out; of lists, the first two."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2])
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))


def poisoned(value, every=1):
    """Yield copies of a JSON value with one value replaced or left out, and what was done.

    Only one in `every` copies: where reading one takes long.
    """
    changes = itertools.product(list(places(value)), (*POISON, KeyError))
    for path, poison in itertools.islice(changes, 0, None, every):
        other = copy.deepcopy(value)
        holder = other
        for key in path[:-1]:
            holder = holder[key]
        if poison is KeyError:
            del holder[path[-1]]
        else:
            holder[path[-1]] = poison
        yield other, (path, poison)
