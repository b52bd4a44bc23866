"""Which pictures validate: whole groups of pictures that belong together, with every class in both.

Pictures of one sequence look alike: a network that saw frame 17 has all but seen frame 18. So the
frames of one sequence are not divided if there are enough sequences, and cut into long pieces if
there are not.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from psp.errors import PspError

AUTO, NONE = "auto", "none"
TRAIN, VAL = "train", "val"
PIECES = 20  # of a sequence that is too long to go into one split as a whole
_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")
_COPY = re.compile(r"[._](jpe?g|png|bmp|tiff?|webp)\.rf\.[0-9a-zA-Z]+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture to assign: its name, and the classes on it, as far as they are known."""

    name: str
    classes: frozenset[str]


@dataclass(frozen=True)
class Division:
    """The split of each name, and what to say about it."""

    splits: Mapping[str, str]
    remarks: tuple[str, ...]


def divide(
    candidates: Sequence[Candidate], fraction: float, group_by: str = AUTO, seed: int = 0
) -> Division:
    """Divide pictures into "train" and "val"; about `fraction` of them, at least one, validate.

    The same pictures, fraction, rule and seed give the same division. Groups stay together: with
    "auto" the numbered frames of a sequence and the augmented copies of a picture, with "none" each
    picture is alone, otherwise the names with the same match of the regular expression (its first
    group, if it has one). A class that is in two groups or more is in both splits if that can be.
    Raises PspError if all pictures are in one group.
    """
    if fraction == 0 or len(candidates) < 2:
        return Division({candidate.name: TRAIN for candidate in candidates}, ())
    wanted = max(1, round(fraction * len(candidates)))
    names = [candidate.name for candidate in candidates]
    groups, remarks = _groups(names, group_by, wanted)
    if len(groups) < 2:
        raise PspError(
            f"--group-by {group_by}: all {len(names)} pictures are in one group, so none can "
            "validate. Choose another expression, or --group-by none"
        )
    by_name = {candidate.name: candidate.classes for candidate in candidates}
    held = {
        group: frozenset(c for name in members for c in by_name[name])
        for group, members in groups.items()
    }
    chosen = _choose(groups, held, wanted, seed)
    validating = {name for group in chosen for name in groups[group]}
    every = {c for classes in held.values() for c in classes}
    validated = {c for group in chosen for c in held[group]}
    if every - validated:
        shown = ", ".join(sorted(every - validated)[:6])
        remarks.append(f"in train only, as too few pictures have them: {shown}")
    return Division({name: VAL if name in validating else TRAIN for name in names}, tuple(remarks))


def _groups(names: Sequence[str], rule: str, wanted: int) -> tuple[dict[str, list[str]], list[str]]:
    """Return group → names, in the order of the names, and what to say about it."""
    if rule == NONE:
        return {name: [name] for name in names}, []
    if rule != AUTO:
        pattern = re.compile(rule)
        groups = defaultdict(list)
        for name in names:
            match = pattern.search(name)
            groups[match[match.re.groups > 0] if match else name].append(name)
        return dict(groups), [f"{len(groups)} groups of names by --group-by stay together"]
    sequences: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        path = PurePosixPath(_COPY.sub("", name))
        match = _NUMBER.match(path.name)
        if match:
            before = f"{path.parent}/{match[1]}"
            sequences[before, match[3]].append((int(match[2]), name))
        else:
            sequences[str(path), ""].append((0, name))
    return _pieces(sequences, wanted)


def _pieces(
    sequences: Mapping[tuple[str, str], list[tuple[int, str]]], wanted: int
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the groups of whole sequences, or of pieces of those that are too long for val."""
    groups: dict[str, list[str]] = {}
    whole, cut = 0, 0
    for (before, after), members in sequences.items():
        members.sort()
        numbers = Counter(number for number, _ in members)
        frames = sorted(numbers)
        pieces = 1
        if len(members) > wanted and len(frames) > 1:
            pieces = min(len(frames), max(PIECES, -(-len(members) // wanted)))
            cut += 1
        elif len(frames) > 1:
            whole += 1
        order = {number: position for position, number in enumerate(frames)}
        for number, name in members:
            piece = order[number] * pieces // len(frames)
            groups.setdefault(f"{before}#{after}/{piece}", []).append(name)
    remarks = []
    if cut:
        remarks.append(
            f"{_sequences(cut)} cut into pieces of following pictures, some of which validate "
            "(--group-by none: every picture by itself)"
        )
    if whole:
        remarks.append(f"{_sequences(whole)} kept in one split each (--group-by none: divided)")
    return groups, remarks


def _sequences(count: int) -> str:
    return "one numbered sequence is" if count == 1 else f"{count} numbered sequences are"


def _choose(
    groups: Mapping[str, Sequence[str]],
    held: Mapping[str, frozenset[str]],
    wanted: int,
    seed: int,
) -> list[str]:
    """Return the groups that validate.

    First, for each class, the seldom ones first, a group that has it; then groups in a random order
    until there are enough pictures. The last group of a class stays in train.
    """

    def draw(group: str) -> bytes:
        return hashlib.sha256(f"{seed}:{group}".encode(errors="surrogateescape")).digest()

    order = sorted(groups, key=draw)
    left = Counter(c for classes in held.values() for c in classes)  # groups in train with a class
    chosen: list[str] = []
    size = 0

    def may_go(group: str) -> bool:
        return (all(left[c] > 1 for c in held[group]) and len(left) > 0) or not held[group]

    def take(group: str) -> None:
        nonlocal size
        chosen.append(group)
        size += len(groups[group])
        left.subtract(held[group])

    for name in sorted(left, key=lambda c: (left[c], c)):
        if any(name in held[group] for group in chosen):
            continue
        fitting = [g for g in order if g not in chosen and name in held[g] and may_go(g)]
        fitting.sort(key=lambda g: len(groups[g]))  # stable: the random order within a size
        if fitting and size + len(groups[fitting[0]]) <= 2 * wanted:
            take(fitting[0])
    for group in order:
        if size >= wanted:
            break
        if group not in chosen and may_go(group) and size + len(groups[group]) <= 1.5 * wanted:
            take(group)
    if not chosen:  # every group is the last of some class: the smallest goes all the same
        take(min(order, key=lambda g: len(groups[g])))
    return chosen
