"""A Kubernetes object together with where it was read, so that whatever is said of it can be found.

`read_text` takes a text apart into objects: several documents, Lists and JSON. Which texts there are,
files, standard input or a cluster, is the caller's business (`cli.sources`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.input.documents import MAX_DEPTH, Document, DocumentError, read_documents, shared
from tenantprofile.paths import Path

_ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]", re.DOTALL
)
"""The escapes of a JSON text: a pair of surrogates is one."""
_SPACE: Final = re.compile(r"\s*")
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class ObjectError(ValueError):
    """A document that is no Kubernetes object; `place` is file and line."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object was read. `document` is None for one from a cluster, which has no lines.

    source: the file as it was named, `standard input`, or `cluster <context>`. prefix: the object's
    path inside its document, `("items", 3)` in a List.
    """

    source: str
    document: Document | None = None
    prefix: Path = ()

    @property
    def is_file(self) -> bool:
        """Written down by somebody, and so with lines; otherwise from a cluster."""
        return self.document is not None

    def line(self, path: Path = ()) -> int | None:
        """The line of a field by its path in the object, or of the nearest thing that was written."""
        return None if self.document is None else self.document.line((*self.prefix, *path))

    def place(self, path: Path = ()) -> str:
        """`file:line`, for messages."""
        line = self.line(path)
        return self.source if line is None else f"{self.source}:{line}"


@dataclass(frozen=True, slots=True, eq=False)
class SourceObject:
    """One object: its data as YAML or JSON gives it, and its origin."""

    raw: Mapping[str, Any]
    origin: Origin

    @property
    def kind(self) -> str:
        return str(self.raw.get("kind") or "")

    @property
    def api_version(self) -> str:
        return str(self.raw.get("apiVersion") or "")

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Empty where there is none, or something else in its place."""
        found = self.raw.get("metadata")
        return found if isinstance(found, Mapping) else {}

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or self.metadata.get("generateName") or "")

    @property
    def namespace(self) -> str:
        """As written; empty where there is none, which the API server would fill with `default`."""
        return str(self.metadata.get("namespace") or "")

    def place(self, path: Path = ()) -> str:
        """`file:line` of the object, or of one of its fields."""
        return self.origin.place(path)

    def __str__(self) -> str:
        """`NetworkPolicy shop/web`, as messages name it."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def read_text(text: str, source: str, others: list[ObjectError] | None = None) -> Iterator[SourceObject]:
    """Every object of a text, Lists opened up. Raises DocumentError for what is no strict YAML.

    Data that is no object raises ObjectError, unless the caller takes such complaints as `others`.
    """
    for document in _documents(text, source):
        try:
            yield from _opened(document.data, Origin(source, document))
        except ObjectError as error:
            if others is None:
                raise
            others.append(error)


def _opened(raw: Any, origin: Origin) -> Iterator[SourceObject]:
    """An object, or those of a List; items of a typed list get their kind and apiVersion from it."""
    if not isinstance(raw, Mapping) or not all(isinstance(raw.get(f), str) for f in ("kind", "apiVersion")):
        raise ObjectError(
            origin.place(), f"found {_described(raw)}; expected a Kubernetes object with apiVersion and kind"
        )
    kind, items = raw["kind"], raw.get("items")
    if not kind.endswith("List") or not (kind == "List" or isinstance(items, list)):
        yield SourceObject(raw, origin)
        return
    if items is not None and not isinstance(items, list):
        raise ObjectError(origin.place(("items",)), f"items: found {_described(items)}; expected a list")
    inner = kind.removesuffix("List")
    for index, item in enumerate(items or ()):
        if inner and isinstance(item, Mapping):
            item = {"apiVersion": raw["apiVersion"], "kind": inner, **item}
        yield from _opened(item, Origin(origin.source, origin.document, (*origin.prefix, "items", index)))


def _described(raw: Any) -> str:
    if isinstance(raw, Mapping):
        fields = ", ".join(str(key) for key in list(raw)[:4])
        return f"a map with {fields}" if fields else "an empty map"
    if isinstance(raw, list):
        return "a list"
    return repr(raw)[:60]


def _documents(text: str, source: str) -> list[Document]:
    """JSON is read as such, because a cluster's dump can be large and may be indented with tabs."""
    if text.lstrip()[:1] == "{":
        try:
            found = list(_json_values(text))
        except ValueError:
            pass  # YAML in flow style, or a mistake: the YAML reader tells where
        except RecursionError:
            raise DocumentError(source, 1, 1, f"more than {MAX_DEPTH} levels of nesting") from None
        else:
            if any(_too_deep(value) for value, _, _ in found):
                raise DocumentError(source, 1, 1, f"more than {MAX_DEPTH} levels of nesting")
            if (half := _half_character(text)) is not None:
                line = text.count("\n", 0, half.start()) + 1
                column = half.start() - text.rfind("\n", 0, half.start())
                raise DocumentError(
                    source, line, column, f"found {half[0]}, half of a character; expected both"
                )
            documents, line, counted = [], 0, 0
            for value, start, end in found:
                line, counted = line + text.count("\n", counted, start), start
                documents.append(Document(value, _JsonPositions(text, source, start, end, line), source))
            return documents
    return read_documents(text, source)


def _json_values(text: str) -> Iterator[tuple[Any, int, int]]:
    """Every JSON value of a text, as kubectl and jq write them one after the other, with where it begins and ends."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    position = 0
    while (start := _end_of_space(text, position)) < len(text):
        value, position = decoder.raw_decode(text, start)
        yield value, start, position


def _end_of_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _half_character(text: str) -> re.Match[str] | None:
    """The first escape of half a character (RFC 8259, 8.2: a lone surrogate), which no output can hold."""
    for found in _ESCAPES.finditer(text):
        if _HALF.fullmatch(found[0]):
            return found
    return None


def _too_deep(value: Any) -> bool:
    stack = [(0, value)]
    while stack:
        depth, part = stack.pop()
        if depth > MAX_DEPTH:
            return True
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        stack.extend((depth + 1, one) for one in inner)
    return False


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {sys.intern(key): shared(value) for key, value in pairs}
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


class _JsonPositions(Mapping[Path, tuple[int, int]]):
    """The positions in a JSON text, worked out when somebody asks: most objects are never spoken of."""

    __slots__ = ("_above", "_end", "_known", "_source", "_start", "_text")

    def __init__(self, text: str, source: str, start: int, end: int, above: int) -> None:
        """above: lines before the one in which the text's part begins."""
        self._text, self._source, self._start, self._end, self._above = text, source, start, end, above
        self._known: Mapping[Path, tuple[int, int]] | None = None

    def _positions(self) -> Mapping[Path, tuple[int, int]]:
        if self._known is None:
            indent = self._start - self._text.rfind("\n", 0, self._start) - 1
            part = " " * indent + self._text[self._start : self._end]
            try:
                # Outside of strings, where JSON allows none, a tab is as good as a space.
                documents = read_documents(part.replace("\t", " "), self._source)
                self._known = documents[0].positions if documents else {}
            except DocumentError:
                self._known = {}
        return self._known

    def __getitem__(self, path: Path) -> tuple[int, int]:
        line, column = self._positions()[path]
        return line + self._above, column

    def __iter__(self) -> Iterator[Path]:
        return iter(self._positions())

    def __len__(self) -> int:
        return len(self._positions())
