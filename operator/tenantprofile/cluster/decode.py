"""Objects out of bytes that others have written: one that cannot be read is a value, never an exception.

The API server keeps what it is given in `metadata.managedFields` as it came, nested as deeply as its author likes, and
a JSON parser refuses more than 1,024 levels. orjson reads what is well-formed, at full speed; only what it refuses
is cut into single objects by a scanner that needs no recursion, `managedFields` cut out, and tried once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

Object = dict[str, Any]

_TOKEN: Final = re.compile(rb'[\[\]{},:]|"(?:[^"\\]|\\.)*+"', re.DOTALL)
_MANAGED_FIELDS: Final = b'"managedFields"'
MAX_TEXT: Final = 253
"""Characters of a name that is shown of an object that cannot be read (Kubernetes documentation, Object Names)."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An object that cannot be read. Fields that could not be found are empty."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list; `resource_version` is the same on every page and is where a watch begins."""

    items: list[Object]
    resource_version: str
    remaining: int
    next: str
    """The continue token; empty on the last page."""
    undecodable: tuple[Undecodable, ...] = ()


def page(raw: bytes) -> Listed:
    """A List as the API server returned it. Raises ValueError where not even its frame can be read."""
    bad: list[Undecodable] = []
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        answer = _frame(raw, bad)
    try:
        meta = answer.get("metadata") or {}
        items = answer.get("items") or []
        if not all(map(_is_object, items)):
            bad += [Undecodable("", "", "", "", "not an object") for item in items if not _is_object(item)]
            items = list(filter(_is_object, items))
        return Listed(
            items,
            str(meta.get("resourceVersion", "")),
            int(meta.get("remainingItemCount") or 0),
            str(meta.get("continue") or ""),
            tuple(bad),
        )
    except (AttributeError, TypeError) as error:
        raise ValueError("not a list") from error


def _is_object(item: Any) -> bool:
    return isinstance(item, dict)


def event(line: bytes) -> tuple[str, Object | Undecodable]:
    """A line of a watch: the type, and the object. Raises ValueError where it has no type."""
    try:
        parsed = orjson.loads(line)
        found = parsed.get("object") or {}
        if not isinstance(found, dict):
            found = Undecodable("", "", "", "", "not an object")
        return str(parsed["type"]), found
    except orjson.JSONDecodeError as error:
        members = dict(_members(line))
        if "type" not in members or "object" not in members:
            raise ValueError("neither a type nor an object") from error
        return str(orjson.loads(members["type"])), single(members["object"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("neither a type nor an object") from error


def single(raw: bytes) -> Object | Undecodable:
    """One object."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            found = orjson.loads(without_managed_fields(raw))
        except ValueError as error:
            return undecodable(raw, str(error))
    return found if isinstance(found, dict) else undecodable(raw, "not an object")


def without_managed_fields(raw: bytes) -> bytes:
    """An object's bytes without `metadata.managedFields`, of whatever depth. Raises ValueError."""
    for name, start, end in _spans(raw, 0):
        if name == "metadata":
            kept = [raw[a:b] for field, a, b in _spans(raw, start) if field != "managedFields"]
            names = [field for field, _, _ in _spans(raw, start) if field != "managedFields"]
            inner = b",".join(
                orjson.dumps(field) + b":" + value for field, value in zip(names, kept, strict=True)
            )
            return raw[:start] + b"{" + inner + b"}" + raw[end:]
    return raw


def undecodable(raw: bytes, reason: str) -> Undecodable:
    """What can be found of an object that cannot be read."""
    found: dict[str, str] = {}
    try:
        metadata = dict(_members(raw)).get("metadata", b"{}")
        for name, value in _members(metadata):
            if name in ("namespace", "name", "uid", "resourceVersion") and value.startswith(b'"'):
                found[name] = str(orjson.loads(value))[:MAX_TEXT]
    except ValueError:
        pass
    return Undecodable(
        found.get("namespace", ""),
        found.get("name", ""),
        found.get("uid", ""),
        found.get("resourceVersion", ""),
        reason,
    )


def unreadable(raw: Object, reason: str) -> Undecodable:
    """The same of an object that was parsed, and then turned out not to be usable."""
    metadata = raw.get("metadata")
    text = metadata if isinstance(metadata, dict) else {}
    namespace, name, uid, version = (
        str(text.get(field) or "")[:MAX_TEXT] for field in ("namespace", "name", "uid", "resourceVersion")
    )
    return Undecodable(namespace, name, uid, version, reason)


def is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects are nested in more than `limit` levels; found without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def is_larger(value: Any, limit: int) -> bool:
    """Whether lists and objects hold more than `limit` values in all; looks at no more than that."""
    count = 0
    level = [value]
    while level:
        below: list[Any] = []
        for parent in level:
            count += len(parent)
            if count > limit:
                return True
            children = parent.values() if isinstance(parent, dict) else parent
            below.extend(child for child in children if isinstance(child, (dict, list)))
        level = below
    return False


def _frame(raw: bytes, bad: list[Undecodable]) -> Object:
    """A page whose frame can be read; its items that cannot are added to `bad`. Raises ValueError."""
    members = dict(_members(raw))
    items: list[Object] = []
    for start, end in _elements(members.get("items", b"[]")):
        found = single(members["items"][start:end])
        if isinstance(found, Undecodable):
            bad.append(found)
        else:
            items.append(found)
    return {"metadata": orjson.loads(members.get("metadata", b"{}")), "items": items}


def _members(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for name, start, end in _spans(raw, 0):
        yield name, raw[start:end]


def _spans(raw: bytes, begin: int) -> Iterator[tuple[str, int, int]]:
    """The members of the object that begins there: name, and where the value starts and ends. Raises ValueError."""
    depth = 0
    name: str | None = None
    start = -1
    for token in _TOKEN.finditer(raw, begin):
        kind = raw[token.start()]
        if kind == 0x22:  # "
            if depth == 1 and name is None:
                name = str(orjson.loads(token.group()))
        elif kind == 0x3A:  # :
            if depth == 1 and start < 0:
                start = token.end()
        elif kind in b"[{":
            depth += 1
            if depth == 1 and kind != 0x7B:
                raise ValueError("not an object")
        elif kind in b"]}":
            depth -= 1
            if depth == 0:
                if name is not None and start >= 0:
                    yield name, start, token.start()
                return
        elif depth == 1:  # ,
            if name is None or start < 0:
                raise ValueError("not an object")
            yield name, start, token.start()
            name, start = None, -1
    raise ValueError("it has no end")


def _elements(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where the elements of an array start and end. Raises ValueError."""
    depth = 0
    start = -1
    for token in _TOKEN.finditer(raw):
        kind = raw[token.start()]
        if kind in b"[{":
            depth += 1
            if depth == 1:
                start = token.end()
        elif kind in b"]}":
            depth -= 1
            if depth == 0:
                if raw[start : token.start()].strip():
                    yield start, token.start()
                return
        elif kind == 0x2C and depth == 1:
            yield start, token.start()
            start = token.end()
    if raw.strip() != b"null":
        raise ValueError("it has no end")
