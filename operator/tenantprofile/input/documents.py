"""YAML as kubectl reads it, read strictly, with the line of every value.

For files that people write: profiles, templates, policies given to lint, and the text that a
template renders. Promises:

- plain scalars mean what they mean to kubectl (sigs.k8s.io/yaml on go.yaml.in/yaml/v2, resolve.go):
  `on` and `yes` are booleans, `0o17` and `017` are numbers, dates are strings, map keys become
  strings;
- anchors, aliases and merge keys are read as kubectl reads them, up to a bound on what they expand to;
- what makes two readers disagree is refused, with its line: a key written twice, and explicit tags;
- every value's line and column can be asked for by its path.

What the data means is left to the reader's caller.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Final

import yaml

from tenantprofile.paths import Path

MAX_DEPTH: Final = 200
"""Kubernetes objects nest far less; a deeper one is a mistake or an attack on the stack."""

MAX_EXPANDED: Final = 200_000
"""Values that the aliases of one document may stand for."""

_SHARED_LENGTH: Final = 64
"""Strings up to this length are kept once however often they are written."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOATS = frozenset(
    {sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")} | {".nan", ".NaN", ".NAN"}
)

# libyaml types a token by its first characters; where these cannot start a number, no pattern is tried.
_MAY_BE_NUMBER = frozenset("0123456789+-.")


class DocumentError(ValueError):
    """Text that cannot be read as strict YAML; says where and what was found."""

    def __init__(self, file: str, line: int, column: int, message: str) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.file = file
        self.line = line
        self.column = column
        self.message = message


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: plain data, and where each part of it stands (lines and columns from 1).

    text: the whole text that it was read from, for whoever looks for comments; empty for JSON.
    """

    data: Any
    positions: Mapping[Path, tuple[int, int]]
    file: str
    text: str = field(default="", repr=False)

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it that was written."""
        return self.position(path)[0]

    def position(self, path: Path) -> tuple[int, int]:
        for length in range(len(path), -1, -1):
            found = self.positions.get(path[:length])
            if found is not None:
                return found
        return (1, 1)


def read_documents(text: str, file: str = "<text>") -> list[Document]:
    """Every document of a text; one that holds nothing is left out. Raises DocumentError."""
    return [document for document in Reader(text, file, positions=False) if document.data is not None]


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A value's place in a text: from `start` to `end`, with the line and column (from 1) where it begins."""

    text: str = field(repr=False)
    file: str
    start: int
    end: int
    line: int
    column: int


class LazyPositions(Mapping[Path, tuple[int, int]]):
    """The positions in a document, worked out when somebody asks: most objects are never spoken of.

    The items of a List are looked at one by one, because a cluster's dump is one document.
    """

    __slots__ = ("_items", "_span")

    def __init__(self, span: Span, items: array[int]) -> None:
        """items: start, end, line and column of each of the document's `items`, one after the other."""
        self._span = span
        self._items = items

    def __getitem__(self, path: Path) -> tuple[int, int]:
        if not path:
            return self._span.line, self._span.column
        if (
            len(path) > 1
            and path[0] == "items"
            and isinstance(path[1], int)
            and path[1] * 4 < len(self._items)
        ):
            start, end, line, column = self._items[path[1] * 4 : path[1] * 4 + 4]
            if len(path) == 2:
                return line, column
            try:
                return _positions_in(self._span.text, self._span.file, start, end, line, column)[path[2:]]
            except DocumentError:
                pass  # an alias of what is outside of the item
        return self._whole()[path]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def _whole(self) -> Mapping[Path, tuple[int, int]]:
        span = self._span
        try:
            return _positions_in(span.text, span.file, span.start, span.end, span.line, span.column)
        except DocumentError:
            return {}


@lru_cache(maxsize=64)
def _positions_in(
    text: str, file: str, start: int, end: int, line: int, column: int
) -> Mapping[Path, tuple[int, int]]:
    """All positions in a part of a text. Raises DocumentError where the part means nothing by itself."""
    part = " " * (column - 1) + text[start:end]
    for document in Reader(part, file):
        return {path: (below + line - 1, place) for path, (below, place) in document.positions.items()}
    return {}


class Reader:
    """Turns parser events into data; a subclass may decide what a scalar and a key stand for."""

    anchors: ClassVar[bool] = True
    """Whether anchors, aliases and merge keys are read."""

    def __init__(self, text: str, file: str, *, positions: bool = True) -> None:
        """positions: kept while reading; otherwise worked out when they are asked for."""
        self._file = file
        self._events: Iterator[Any] = iter(())
        self._positions: dict[Path, tuple[int, int]] = {}
        self._text = text
        self._keeps_positions = positions
        self._items = array("q")
        """Start, end, line and column of each of the document's `items`."""
        self._end = 0
        """Where the value that was read last ends."""
        self._in_items = False
        """Inside the document's own `items`."""

    def scalar(self, value: str, plain: bool) -> Any:
        """The value of a scalar; may raise ValueError, which gets its position here."""
        return resolve_scalar(value) if plain else value

    def key(self, value: str, plain: bool) -> str:
        """The key of a mapping; kubectl turns numbers and booleans into strings."""
        if not plain:
            return value
        if value == "<<" and not self.anchors:
            raise ValueError("merge keys (<<) are not read; write the fields out")
        resolved = resolve_scalar(value)
        if isinstance(resolved, str):
            return resolved
        if isinstance(resolved, bool):
            return "true" if resolved else "false"
        if isinstance(resolved, int):
            return str(resolved)
        raise ValueError(f"found {value!r} as a key; expected a string (put it in quotes)")

    def __iter__(self) -> Iterator[Document]:
        try:
            self._events = yaml.parse(self._text, Loader=yaml.CSafeLoader)
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if event.tags:
                        raise self._error(event, "a %TAG directive; tags are not read")
                    self._positions = {}
                    self._items = array("q")
                    self._anchored: dict[str, tuple[Any, int]] = {}
                    self._expanded = 0
                    first = next(self._events)
                    data = self._value(first, () if self._keeps_positions else None, 0)
                    yield Document(data, self._found_positions(first), self._file, self._text)
        except yaml.MarkedYAMLError as error:
            mark: Any = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            message = " ".join(part for part in (error.context, error.problem) if part)
            raise DocumentError(self._file, line, column, f"not YAML: {message}") from None
        except yaml.reader.ReaderError as error:
            found, position = error.character, int(error.position)
            line = self._text.count("\n", 0, position) + 1
            shown = f"U+{found:04X}" if isinstance(found, int) else repr(found)
            raise DocumentError(
                self._file, line, 1, f"not YAML: {error.reason} (character {shown})"
            ) from None
        except UnicodeError as error:
            raise DocumentError(self._file, 1, 1, f"not YAML: {error}") from None

    def _found_positions(self, first: Any) -> Mapping[Path, tuple[int, int]]:
        """The positions in the document that begins with this event and was just read."""
        if self._keeps_positions:
            return self._positions
        mark = first.start_mark
        span = Span(self._text, self._file, mark.index, self._end, mark.line + 1, mark.column + 1)
        return LazyPositions(span, self._items)

    def _value(self, event: Any, path: Path | None, depth: int) -> Any:
        """path: None where no positions are kept."""
        self._end = event.end_mark.index
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth)
        if event.anchor is not None and not self.anchors:
            raise self._error(event, f"an anchor (&{event.anchor}); write the value out where it is needed")
        if event.tag is not None:
            raise self._error(event, f"a tag ({event.tag}); tags are not read")
        mark = event.start_mark
        if path is not None:
            self._positions[path] = (mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.ScalarEvent):
            try:
                data = shared(self.scalar(event.value, event.implicit[0]))
            except ValueError as error:
                raise DocumentError(self._file, mark.line + 1, mark.column + 1, str(error)) from None
        elif depth >= MAX_DEPTH:
            raise self._error(event, f"more than {MAX_DEPTH} levels of nesting")
        elif isinstance(event, yaml.SequenceStartEvent):
            data = self._sequence(path, depth)
        else:
            data = self._mapping(path, depth)
        if event.anchor is not None:
            self._anchored[event.anchor] = (data, depth)
        return data

    def _alias(self, event: Any, path: Path | None, outside: int) -> Any:
        """What an anchor stands for (YAML 1.2, 7.1); one that is still being read has no value yet."""
        if not self.anchors or event.anchor not in self._anchored:
            raise self._error(event, f"an alias (*{event.anchor}) without a value; write the value out")
        data, _ = self._anchored[event.anchor]
        if path is not None:
            self._positions[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
        stack = [(0, data)]
        while stack:
            depth, value = stack.pop()
            self._expanded += 1
            if self._expanded > MAX_EXPANDED or depth + outside > MAX_DEPTH:
                raise self._error(
                    event, f"aliases that stand for more than {MAX_EXPANDED} values, or too many levels"
                )
            parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            stack.extend((depth + 1, part) for part in parts)
        return data

    def _merge(self, event: Any, mapping: dict[str, Any], value: Any) -> dict[str, Any]:
        """The fields of a merge key's maps, of which an earlier one wins (yaml.org/type/merge)."""
        maps = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in maps):
            raise self._error(event, "a merge key (<<) with something else than maps")
        for one in maps:
            for key, part in one.items():
                mapping.setdefault(key, part)
        return mapping

    def _sequence(self, path: Path | None, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, None if path is None else (*path, len(items)), depth + 1))
            if depth == 1 and self._in_items:
                mark = event.start_mark
                self._items.extend((mark.index, self._end, mark.line + 1, mark.column + 1))
        self._end = _index(event.end_mark)
        return items

    def _mapping(self, path: Path | None, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error(event, "a map, list or alias as a key; expected a string")
            if event.anchor is not None or event.tag is not None:
                raise self._error(event, "an anchor or a tag on a key; neither is read")
            mark: Any = event.start_mark
            line, column = mark.line + 1, mark.column + 1
            try:
                key = sys.intern(self.key(event.value, event.implicit[0]))
            except ValueError as error:
                raise DocumentError(self._file, line, column, str(error)) from None
            if key in mapping:
                raise self._error(event, f"key {key!r} a second time; the first is in line {lines[key]}")
            lines[key] = line
            if depth == 0:
                self._in_items = key == "items"
            inside = None if path is None else (*path, key)
            value = self._value(next(self._events), inside, depth + 1)
            if key == "<<" and event.implicit[0]:
                self._merge(event, merged, value)
                continue
            # A reader looks for the key, not for where its value begins.
            if inside is not None:
                self._positions[inside] = (line, column)
            mapping[key] = value
        self._end = _index(event.end_mark)
        for key, value in merged.items():
            mapping.setdefault(key, value)
        return mapping

    def _error(self, event: Any, found: str) -> DocumentError:
        mark = event.start_mark
        return DocumentError(self._file, mark.line + 1, mark.column + 1, f"found {found}")


def _index(mark: Any) -> int:
    return int(mark.index)


def shared(value: Any) -> Any:
    """The value itself, or the one string that stands for all that are equal to it."""
    return sys.intern(value) if type(value) is str and len(value) <= _SHARED_LENGTH else value


def resolve_scalar(text: str) -> Any:
    """What a plain scalar means to kubectl; everything that is nothing else is a string."""
    if text in _NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in _MAY_BE_NUMBER:
        return text
    plain = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(plain):
        return _integer(plain, text)
    if text in _SPECIAL_FLOATS:
        raise ValueError(f"found {text}; JSON has no such number (put it in quotes if it is a word)")
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        if number in (float("inf"), float("-inf")):
            return text
        return number
    return text


def _integer(plain: str, text: str) -> int | float | str:
    """Integers with Go's prefixes (strconv.ParseInt, base 0); beyond 64 bits they become floats there."""
    sign, digits = (plain[0], plain[1:]) if plain[0] in "+-" else ("", plain)
    lowered = digits.lower()
    if lowered.startswith(("0x", "0b", "0o")):
        value = int(lowered, 0)
    elif len(lowered) > 1 and lowered[0] == "0":
        value = int(lowered, 8)
    elif len(lowered) > 20:
        return text if len(lowered) > 300 else float(plain)
    else:
        value = int(lowered)
    value = -value if sign == "-" else value
    if -(2**63) <= value < 2**64:
        return value
    return float(value) if len(digits) <= 300 else text
