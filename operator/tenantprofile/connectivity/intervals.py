"""Sets of integers as sorted boundaries: the exact arithmetic under ports and addresses.

A set is a tuple of strictly increasing integers at which membership toggles: `(80, 82)` holds 80
and 81. The representation is canonical, so equal sets are equal tuples; it stays as small as the
number of ranges, whatever their width. Results are cached, because a cluster repeats itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

Bounds: TypeAlias = tuple[int, ...]

EMPTY: Bounds = ()
_CACHED = 1 << 16


def interval(first: int, last: int) -> Bounds:
    """The integers from first to last, both included."""
    return (first, last + 1) if first <= last else EMPTY


def contains(bounds: Bounds, value: int) -> bool:
    return bisect_right(bounds, value) % 2 == 1


def ranges(bounds: Bounds) -> Iterator[tuple[int, int]]:
    """Each maximal range as (first, last), both included, in order."""
    for index in range(0, len(bounds), 2):
        yield bounds[index], bounds[index + 1] - 1


def size(bounds: Bounds) -> int:
    return sum(last - first + 1 for first, last in ranges(bounds))


@lru_cache(maxsize=_CACHED)
def union(left: Bounds, right: Bounds) -> Bounds:
    if not left or left == right:
        return right
    return _sweep(left, right, lambda a, b: a or b) if right else left


@lru_cache(maxsize=_CACHED)
def intersection(left: Bounds, right: Bounds) -> Bounds:
    if not left or not right:
        return EMPTY
    return left if left == right else _sweep(left, right, lambda a, b: a and b)


@lru_cache(maxsize=_CACHED)
def difference(left: Bounds, right: Bounds) -> Bounds:
    if not left or not right:
        return left
    return EMPTY if left == right else _sweep(left, right, lambda a, b: a and not b)


def union_all(sets: Iterable[Bounds]) -> Bounds:
    result = EMPTY
    for bounds in sets:
        result = union(result, bounds)
    return result


def _sweep(left: Bounds, right: Bounds, keep: Callable[[bool, bool], bool]) -> Bounds:
    """Walk both boundary lists once; `keep` decides membership from the two memberships."""
    found: list[int] = []
    i = j = 0
    inside = False
    while i < len(left) or j < len(right):
        at = left[i] if j >= len(right) or (i < len(left) and left[i] <= right[j]) else right[j]
        if i < len(left) and left[i] == at:
            i += 1
        if j < len(right) and right[j] == at:
            j += 1
        now = keep(i % 2 == 1, j % 2 == 1)
        if now != inside:
            found.append(at)
            inside = now
    return tuple(found)
