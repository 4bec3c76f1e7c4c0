"""What is known of one kind: the newest version of each object, whichever way it came.

Answers to our writes, watch events and lists arrive in any order. The higher resource version wins, whatever the uid:
an object that was deleted and made again under its name has a higher one. A deletion is remembered as long as
something older may still arrive: while a write of ours is under way, and while a list is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from tenantprofile.cluster.decode import Object, Undecodable

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace, empty for what belongs to the cluster, and name."""

_EMPTY: Final[Mapping[str, object]] = {}


class Store(Generic[T]):
    """Used from one event loop. `read` makes the value out of an object; it may raise anything."""

    def __init__(self, read: Callable[[Object], T]) -> None:
        self.read = read
        self._values: dict[str, dict[str, T]] = {}
        self._versions: dict[str, dict[str, int]] = {}
        self._writes: dict[Key, int] = {}
        self._deleted: dict[Key, int] = {}
        self._listing = False
        self.undecodable: dict[Key, Undecodable] = {}
        """Objects that exist and cannot be read at present."""
        self._size = 0

    # --- questions ---

    def get(self, name: str, namespace: str = "") -> T | None:
        """The newest that is known of an object."""
        return self.in_namespace(namespace).get(name)

    def version(self, key: Key) -> int:
        """Its resource version; -1 where it is not known."""
        versions = self._versions.get(key[0])
        return versions.get(key[1], -1) if versions is not None else -1

    def in_namespace(self, namespace: str) -> Mapping[str, T]:
        """By name: everything that is known in a namespace."""
        return self._values.get(namespace) or _EMPTY  # type: ignore[return-value]

    def namespaces(self) -> list[str]:
        """Namespaces that hold anything."""
        return list(self._values)

    def names(self, namespace: str = "") -> list[str]:
        return list(self.in_namespace(namespace))

    def values(self) -> Iterator[T]:
        for values in list(self._values.values()):
            yield from list(values.values())

    def items(self) -> Iterator[tuple[Key, T]]:
        for namespace, values in list(self._values.items()):
            for name, value in list(values.items()):
                yield (namespace, name), value

    def __len__(self) -> int:
        return self._size

    # --- our own writes ---

    @contextmanager
    def writing(self, key: Key) -> Iterator[None]:
        """Around a write: its answer may be older than a deletion that was heard of meanwhile."""
        self._writes[key] = self._writes.get(key, 0) + 1
        try:
            yield
        finally:
            self._writes[key] -= 1
            if not self._writes[key]:
                del self._writes[key]
                if not self._listing:
                    self._deleted.pop(key, None)

    def written(self, key: Key, raw: Object) -> T | None:
        """Take in the answer to a write; what it holds, or None where something newer is known already.

        Raises what `read` raises, KeyError and ValueError.
        """
        value = self.read(raw)
        return value if self.put(key, int(raw["metadata"]["resourceVersion"]), value) else None

    def forget(self, key: Key, version: int) -> None:
        """A write based on that version was answered by 404 or 409: the watch brings what is the present.

        What the watch has brought since stays.
        """
        if self.version(key) <= version:
            self._drop(key)

    # --- news ---

    def put(self, key: Key, version: int, value: T) -> bool:
        """Take in a value; False where that version, or something newer, is known."""
        known = self.version(key)
        if version <= known or version <= self._deleted.get(key, -1):
            return False
        namespace, name = key
        self._values.setdefault(namespace, {})[name] = value
        self._versions.setdefault(namespace, {})[name] = version
        self._size += known < 0
        self.undecodable.pop(key, None)
        return True

    def remove(self, key: Key, version: int) -> T | None:
        """It was deleted at that version; what was known of it, None where that is newer or nothing."""
        if self._listing or key in self._writes:
            self._deleted[key] = max(version, self._deleted.get(key, -1))
        unreadable = self.undecodable.get(key)
        if unreadable is not None and _number(unreadable.resource_version) <= version:
            del self.undecodable[key]
        return self._drop(key) if self.version(key) <= version else None

    def begin_list(self) -> None:
        """From here on deletions are remembered: a list that began before them may still show them."""
        self._listing = True

    def end_list(self, listed: set[Key] | None, version: int = 0) -> list[tuple[Key, T]]:
        """Drop what a list of that version should hold and does not; None: the list was not read to its end."""
        self._listing = False
        self._deleted = {key: deleted for key, deleted in self._deleted.items() if key in self._writes}
        if listed is None:
            return []
        for key in [key for key in self.undecodable if key not in listed]:
            del self.undecodable[key]
        gone = [
            (key, value) for key, value in self.items() if key not in listed and self.version(key) <= version
        ]
        for key, _ in gone:
            self._drop(key)
        return gone

    def clear(self) -> dict[Key, T]:
        """Forget everything; what it was."""
        known = dict(self.items())
        self._values.clear()
        self._versions.clear()
        self._deleted.clear()
        self.undecodable.clear()
        self._size = 0
        return known

    def _drop(self, key: Key) -> T | None:
        namespace, name = key
        values = self._values.get(namespace)
        if values is None or name not in values:
            return None
        value = values.pop(name)
        del self._versions[namespace][name]
        self._size -= 1
        if not values:
            del self._values[namespace], self._versions[namespace]
        return value


def _number(version: str) -> int:
    return int(version) if version.isascii() and version.isdigit() else -1
