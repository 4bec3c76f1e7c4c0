"""What one render may cost, counted in whatever it creates and repeats.

A template is a small program, and its loops, its doubling of strings and lists, and the size of its
parameters must not be able to hold up the operator. Everything that a template's expressions create
is charged here, and so is every turn of a loop by the length of its body, so that there is no
expression whose cost is not bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jinja2.runtime import Undefined

MAX_ITERATIONS: Final = 10_000
MAX_NODES: Final = 200_000
MAX_CHARACTERS: Final = 4 * 1024 * 1024
MAX_TEXT: Final = 256 * 1024
MAX_DEPTH: Final = 100
MAX_INTEGER: Final = 2**63
MAX_STEPS: Final = 2_000_000
"""Steps of one render; one is about as much work as looking up a name."""


class BudgetError(Exception):
    """A render that wants more than a policy can need."""


class Budget:
    """The counters of one render."""

    __slots__ = ("_characters", "_iterations", "_nodes", "_steps", "_text")

    def __init__(self) -> None:
        self._iterations = 0
        self._nodes = 0
        self._characters = 0
        self._text = 0
        self._steps = 0

    def steps(self, count: int) -> None:
        """Pays for work that creates nothing."""
        self._steps += count
        if self._steps > MAX_STEPS:
            raise BudgetError(
                f"more than {MAX_STEPS} steps in one render; loop over less, or do less in a loop"
            )

    def iterate(self, count: int) -> None:
        self._iterations += count
        if self._iterations > MAX_ITERATIONS:
            raise BudgetError(f"more than {MAX_ITERATIONS} loop iterations in one render")

    def write(self, length: int) -> None:
        self._text += length
        if self._text > MAX_TEXT:
            raise BudgetError(f"more than {MAX_TEXT // 1024} KiB of output in one render")

    def nodes(self, count: int) -> None:
        self._nodes += count
        if self._nodes > MAX_NODES:
            raise BudgetError(f"more than {MAX_NODES} values in one render")

    def characters(self, count: int) -> None:
        self._characters += count
        if self._characters > MAX_CHARACTERS:
            raise BudgetError(f"more than {MAX_CHARACTERS // 1024} KiB of text in one render")

    def charge(self, value: Any) -> None:
        """Pays for a value and everything in it; a list that is in it twice is paid twice.

        Undefined values are refused here as well, so that none hides in a list.
        """
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                self.characters(len(item))
            elif isinstance(item, Mapping):
                self.nodes(len(item))
                for key, part in item.items():
                    self.characters(len(key) if isinstance(key, str) else 1)
                    stack.append(part)
            elif isinstance(item, list | tuple):
                self.nodes(len(item) + 1)
                stack.extend(item)
            elif isinstance(item, Undefined):
                item._fail_with_undefined_error()
            elif isinstance(item, int) and not -MAX_INTEGER <= item < MAX_INTEGER:
                raise BudgetError("a number of more than 64 bits")
