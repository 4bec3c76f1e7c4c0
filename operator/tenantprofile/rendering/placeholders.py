"""Why a value can never become YAML.

Whatever a template prints is kept aside, and a placeholder of private-use characters goes into the
text instead. The text is parsed with the placeholders in it, and only then, in the parsed nodes, is
each one replaced by its value. No value ever passes through the YAML parser, so none can end its
scalar, open a mapping or add a line: there is nothing to escape and nothing to forget.

- A plain scalar that is one placeholder becomes the value itself, a scalar or a structure.
- A placeholder in a longer or quoted scalar is interpolated; only strings, numbers and booleans can.
- A placeholder in a key must be a string.

The text also carries marks with the template's line numbers, so that an error names the line of
the template and not that of text that nobody sees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from jinja2.runtime import Undefined

from tenantprofile.input.documents import Reader
from tenantprofile.rendering.budget import MAX_DEPTH, Budget, BudgetError

_OPEN, _CLOSE, _LINE_OPEN, _LINE_CLOSE = "\ue000", "\ue001", "\ue002", "\ue003"
_SENTINELS: Final = re.compile(f"[{_OPEN}-{_LINE_CLOSE}]")
_PLACEHOLDER: Final = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_LINE: Final = re.compile(f"{_LINE_OPEN}([0-9]+){_LINE_CLOSE}")
_BREAKS: Final = re.compile("[\x85\u2028\u2029]")


class PrintError(ValueError):
    """A value that a template cannot print."""


def refuse_sentinels(source: str) -> None:
    """Refuses template source that could be taken for a placeholder, or that breaks lines unseen."""
    if found := _SENTINELS.search(source) or _BREAKS.search(source):
        raise PrintError(f"the character U+{ord(found.group()):04X} cannot be used in a template")


def mark_lines(text: str, line: int) -> str:
    """The text of a template with the number of each of its lines in front of it."""
    first, *others = text.split("\n")
    marked = [f"{_LINE_OPEN}{line}{_LINE_CLOSE}{first}"]
    for number, other in enumerate(others, start=line + 1):
        marked.append(f"{_LINE_OPEN}{number}{_LINE_CLOSE}{other}")
    return "\n".join(marked)


def split_marks(text: str) -> tuple[str, list[int]]:
    """The text without its marks, and for each of its lines the line of the template."""
    lines: list[str] = []
    table: list[int] = []
    current = 1
    for line in text.split("\n"):
        parts = _LINE.split(line)
        begins = current if parts[0].strip() else None
        for number, segment in zip(parts[1::2], parts[2::2], strict=True):
            current = int(number)
            if begins is None and segment.strip():
                begins = current
        lines.append("".join(parts[0::2]))
        table.append(current if begins is None else begins)
    return "\n".join(lines), table


class Slots:
    """The values that one render has printed, in order."""

    def __init__(self, budget: Budget) -> None:
        self._values: list[Any] = []
        self._budget = budget

    def keep(self, value: Any) -> str:
        """Keeps a value and gives its placeholder."""
        self._budget.charge(value)
        self._values.append(plain_data(value))
        return f"{_OPEN}{len(self._values) - 1}{_CLOSE}"

    def value(self, index: str) -> Any:
        return self._values[int(index)]


def plain_data(value: Any, depth: int = 0) -> Any:
    """A copy that consists of JSON's types only; everything else cannot be printed."""
    if isinstance(value, str):
        if found := _SENTINELS.search(value):
            raise PrintError(f"a value holds the character U+{ord(found.group()):04X}, which is reserved")
        # A subclass of str could carry behaviour along.
        return str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise PrintError(f"{value} is not a number that JSON knows")
        return value
    if depth >= MAX_DEPTH:
        raise BudgetError(f"a value with more than {MAX_DEPTH} levels of nesting")
    if isinstance(value, Mapping):
        copy = {}
        for key, part in value.items():
            if not isinstance(key, str):
                raise PrintError(f"a map with the key {key!r}; keys are strings")
            copy[plain_data(key)] = plain_data(part, depth + 1)
        return copy
    if isinstance(value, list | tuple):
        return [plain_data(part, depth + 1) for part in value]
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    raise PrintError(f"a value of type {type(value).__name__} cannot be printed")


class SlotReader(Reader):
    """Reads rendered text, putting each value where its placeholder stands."""

    anchors = False

    def __init__(self, text: str, file: str, slots: Slots) -> None:
        super().__init__(text, file)
        self._slots = slots

    def scalar(self, value: str, plain: bool) -> Any:
        if _OPEN not in value:
            return super().scalar(value, plain)
        if plain and (alone := _PLACEHOLDER.fullmatch(value)):
            return self._slots.value(alone[1])
        return _PLACEHOLDER.sub(self._interpolated, value)

    def key(self, value: str, plain: bool) -> str:
        if _OPEN not in value:
            return super().key(value, plain)
        for index in _PLACEHOLDER.findall(value):
            if not isinstance(part := self._slots.value(index), str):
                raise ValueError(f"found {_kind(part)} printed as a key; expected a string")
        return _PLACEHOLDER.sub(self._interpolated, value)

    def _interpolated(self, found: re.Match[str]) -> str:
        value = self._slots.value(found[1])
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int):
            return str(value)
        raise ValueError(
            f"found {_kind(value)} printed inside a string; expected a string or a number"
            " (a structure must be printed alone, without quotes)"
        )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a map"
    return "a list" if isinstance(value, list) else f"the {type(value).__name__} {value!r}"
