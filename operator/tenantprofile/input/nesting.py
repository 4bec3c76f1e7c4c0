"""How deeply data is nested, found out without recursion.

The API server takes objects of 10,000 levels where a schema preserves unknown fields. Python's JSON
encoder, `repr` and `copy.deepcopy` recurse, so whatever they are to walk is looked at here first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenantprofile.paths import Path


def deeper_than(value: Any, levels: int) -> Path | None:
    """The path to the first map or list that is nested below `levels` others; None where there is none."""
    path: list[str | int] = []
    stack: list[Iterator[tuple[str | int, Any]]] = [_parts(value)]
    while stack:
        for step, part in stack[-1]:
            if isinstance(part, Mapping | list):
                path.append(step)
                if len(stack) >= levels:
                    return tuple(path)
                stack.append(_parts(part))
                break
        else:
            stack.pop()
            if path:
                path.pop()
    return None


def _parts(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, list) else iter(())
