"""Configurations that are Python: parsed, never run.

Literals, dict(...), arithmetic and the names of a text's own variables are understood, and the
files that `_base_` names, with mmengine's rules of merging. Everything else counts as unknown.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from psp.errors import PspError

LONGEST = 1 << 20  # characters of a configuration
LARGEST = 1e15  # number that is computed
DEEPEST = 10  # files that include each other
UNKNOWN = object()
BASES = "_base_"
ELSEWHERE = ("tta_pipeline", "tta_model")  # which no reader asks for, and configurations compute
OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def variables(text: str) -> dict[str, Any]:
    """Return the values of a configuration's variables; those that are unknown are left out."""
    return _read(text)[0]


def read_config(path: Path, depth: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Return the variables of a file and of those it includes, and what is not understood.

    Raises PspError for a file that is not text, too long, or not Python.
    """
    try:
        text = path.read_text(encoding="utf-8-sig") if path.stat().st_size <= LONGEST else None
    except UnicodeDecodeError:
        text = None
    except OSError as error:
        raise PspError(f"{path}: cannot be read: {error.strerror}.") from None
    if text is None:
        raise PspError(f"{path}: not the text of a configuration.")
    try:
        own, unknown = _read(text, strict=True)
    except SyntaxError as error:
        raise PspError(f"{path}: line {error.lineno}: not Python ({error.msg}).") from None
    bases = own.pop(BASES, [])
    merged: dict[str, Any] = {}
    for name in [bases] if isinstance(bases, str) else bases:
        base = path.parent / str(name)
        if depth == DEEPEST or not base.is_file():
            unknown.append(f"it includes {name}, which is not there: what that says is missing")
            continue
        values, more = read_config(base, depth + 1)
        merged, unknown = merge(merged, values), [*more, *unknown]
    return merge(merged, own), unknown


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return `old` with the keys of `new`; dicts are merged, unless they say `_delete_`."""
    result = dict(old)
    for key, value in new.items():
        before = result.get(key)
        if isinstance(value, Mapping):
            kept = isinstance(before, Mapping) and not value.get("_delete_", False)
            value = {k: v for k, v in value.items() if k != "_delete_"}
            result[key] = merge(before if kept and isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def as_text(values: Mapping[str, Any]) -> str:
    """Return variables as the text of a configuration without `_base_`.

    Raises PspError where it would be longer than any configuration is: parts may be repeated.
    """
    budget = [LONGEST // 8]  # values
    return "".join(f"{name} = {_written(value, budget)}\n" for name, value in values.items())


def at(values: Any, *path: str) -> Any:
    """Return what lies under some keys; None where there is nothing, or nothing known."""
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return None if values is UNKNOWN else values


def whole_pair(value: Any) -> tuple[int, int] | None:
    """Return two whole numbers, or one twice; None for anything else."""
    if type(value) is int:
        value = (value, value)
    if not isinstance(value, (tuple, list)) or [type(item) for item in value] != [int, int]:
        return None
    return (value[0], value[1]) if min(value) > 0 else None


def _written(value: Any, budget: list[int]) -> str:
    budget[0] -= 1
    if budget[0] < 0:
        raise PspError("the configuration repeats its parts too often.")
    if isinstance(value, Mapping):
        pairs = (f"{key}={_written(item, budget)}" for key, item in value.items())
        return f"dict({', '.join(pairs)})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_written(item, budget) for item in value)}]"
    return "unknown" if value is UNKNOWN else repr(value)


def _read(text: str, *, strict: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Return the known variables of a text, and which of its lines are not understood."""
    try:
        tree = ast.parse(text if len(text) <= LONGEST else "")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if strict and isinstance(error, SyntaxError):
            raise
        return {}, ["not Python"]
    values: dict[str, Any] = {}
    unknown = []
    seen: dict[int, bool] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            try:
                values[name] = _value(statement.value, values)
            except RecursionError:
                values[name] = UNKNOWN
            if _has_unknown(values[name], seen) and name not in ELSEWHERE:
                unknown.append(f"line {statement.lineno}: {name} is computed, or part of it")
        elif not isinstance(statement, (ast.Import, ast.ImportFrom, ast.Expr)):
            unknown.append(f"line {statement.lineno}: not an assignment")
    return {name: value for name, value in values.items() if value is not UNKNOWN}, unknown


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Return the value of an expression; UNKNOWN where it would have to be computed."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id, UNKNOWN)
    if isinstance(node, (ast.Tuple, ast.List)):
        items = [_items(item, known) for item in node.elts]
        return [item for several in items for item in several]
    if isinstance(node, ast.Dict):
        return {
            key.value: _value(value, known)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {item.arg: _value(item.value, known) for item in node.keywords if item.arg}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _computed(operator.sub, 0, _value(node.operand, known))
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        sides = (_value(node.left, known), _value(node.right, known))
        return _computed(OPERATIONS[type(node.op)], *sides)
    return UNKNOWN


def _items(node: ast.expr, known: Mapping[str, Any]) -> list[Any]:
    """Return what an expression in a list stands for: one item, or those of *LIST."""
    if not isinstance(node, ast.Starred):
        return [_value(node, known)]
    several = _value(node.value, known)
    return several if isinstance(several, list) else [UNKNOWN]


def _has_unknown(value: Any, seen: dict[int, bool]) -> bool:
    """Whether a value or a part of it is unknown; `seen` has the parts that are shared."""
    if not isinstance(value, (Mapping, list)):
        return value is UNKNOWN
    if id(value) not in seen:
        parts = list(value.values()) if isinstance(value, Mapping) else value
        seen[id(value)] = any(_has_unknown(part, seen) for part in parts)
    return seen[id(value)]


def _computed(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if type(left) not in (int, float) or type(right) not in (int, float):
        return UNKNOWN
    try:
        result = operation(left, right)
    except (ZeroDivisionError, OverflowError):
        return UNKNOWN
    return result if abs(result) < LARGEST else UNKNOWN
