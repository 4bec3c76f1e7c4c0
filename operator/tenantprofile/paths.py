"""Paths to fields: as data, as people write them, and what is wrong at one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Path = tuple[str | int, ...]

_STEP: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong at a field of an object: what was found there, and what would be right."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{field_path(self.path)}: {self.message}" if self.path else self.message


def field_path(path: Iterable[str | int]) -> str:
    """A path as kubectl and the API documentation write it: `ingress[0].from[1].ipBlock`."""
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
        elif step and all(character.isalnum() or character in "-_$" for character in step):
            written += f".{step}" if written else step
        else:
            written += f"[{step!r}]"
    return written


def path_of(text: str | Path) -> Path:
    """The path that code writes as text, `spec.ingress[0]`. Keys from an object are added to it as steps.

    Text that holds an object's keys cannot be read back: a key may contain every character of the form.
    """
    if not isinstance(text, str):
        return text
    return tuple(int(index) if index else plain for index, plain in _STEP.findall(text))
