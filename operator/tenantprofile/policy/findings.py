"""The words in which a policy is judged: a rule, and a finding that a rule made at a field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final, Literal

from tenantprofile.paths import Path, field_path

__all__ = ["Finding", "Group", "Path", "Rule", "Severity", "field_path", "nearest", "shown"]

Severity = Literal["error", "warning", "info"]
Group = Literal[
    "api", "meaning", "portability", "parameters", "together", "cluster", "profiles", "records", "waivers"
]

_SHOWN: Final = 120
"""Characters of a found value that a message shows; it may come from anywhere and be of any size."""
_COMPARED: Final = 500
"""Known words that a misspelt one is compared with."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that may be wrong with a policy; `refused_in_templates` is what no render may contain.

    on: judged unless somebody switches it off; otherwise only when it is asked for.
    """

    id: str
    group: Group
    severity: Severity
    title: str
    why: str
    fix: str
    refused_in_templates: bool
    on: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `path` leads to the field inside the spec, `line` where that is known."""

    rule: Rule
    path: Path
    message: str
    found: Any = field(default=None, compare=False)
    expected: str = ""
    line: int | None = None

    @property
    def field_path(self) -> str:
        return field_path(self.path)

    def __str__(self) -> str:
        place = f"{self.field_path}: " if self.path else ""
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{place}{self.message}{expected}"


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def nearest(word: object, known: Iterable[str]) -> str:
    """` (did you mean "x"?)`, or nothing. Of many known words, and of long ones, only some are compared."""
    text = str(word)
    if len(text) > _SHOWN:
        return ""
    compared = [name for name in islice(known, _COMPARED) if len(name) <= _SHOWN]
    close = get_close_matches(text, compared, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
