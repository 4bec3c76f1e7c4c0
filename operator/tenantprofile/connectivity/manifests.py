"""Reading fields of Kubernetes manifests, with errors that name the object and the field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

KINDS: Final[Mapping[str, str]] = {
    "Namespace": "",
    "Pod": "",
    "Service": "",
    "Deployment": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "ReplicaSet": "apps",
    "Job": "batch",
    "CronJob": "batch",
    "NetworkPolicy": "networking.k8s.io",
}
"""The kinds that bear on connectivity, each with its API group. Other groups' kinds of the same name,
such as Calico's NetworkPolicy, are other things and are left alone."""


class ManifestError(ValueError):
    """A manifest that the API server would refuse: `object` (kind ns/name), `path`, what is wrong."""

    def __init__(self, path: str, message: str, object: str = "") -> None:
        super().__init__(": ".join(part for part in (object, path, message) if part))
        self.object = object
        self.path = path
        self.message = message

    def of(self, object: str) -> ManifestError:
        """The same error, for this object."""
        return ManifestError(self.path, self.message, object)


def as_map(raw: object, path: str) -> Mapping[str, Any]:
    """A map; null and missing are the empty one, as the API server decodes them."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise ManifestError(path, f"found {raw!r}; expected a map")
    return raw


def as_list(raw: object, path: str) -> list[Any]:
    """A list; null and missing are the empty one."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise ManifestError(path, f"found {raw!r}; expected a list")
    return raw


def known_fields(raw: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
    """Refuse other fields: the API server would drop them, and a dropped peer means every peer."""
    for field in raw:
        if field not in known:
            raise ManifestError(f"{path}.{field}", f"unknown field; expected {' or '.join(known)}")


def labels_of(raw: object, path: str) -> dict[str, str]:
    """Labels, sorted by key, so that nothing depends on the order in which they were written."""
    labels = as_map(raw, path)
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ManifestError(f"{path}[{key!r}]", f"found {value!r}; labels are strings, so quote it")
    return dict(sorted(labels.items()))


def relevant(objects: Iterable[object]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(kind, manifest) of the objects that bear on connectivity, out of lists as well."""
    for raw in objects:
        if raw is None:
            continue
        if not isinstance(raw, Mapping):
            raise ManifestError("", f"found {type(raw).__name__}; expected a Kubernetes object")
        kind = raw.get("kind")
        if not isinstance(kind, str):
            raise ManifestError("kind", "missing; expected a Kubernetes object")
        group, _, _ = str(raw.get("apiVersion") or "").rpartition("/")
        if kind == "List" or (kind.endswith("List") and isinstance(raw.get("items"), list)):
            inner = kind.removesuffix("List")
            for item in as_list(raw.get("items"), "items"):
                typed = item if not inner or "kind" in item else {**item, "kind": inner}
                if inner and "apiVersion" not in typed:
                    typed = {**typed, "apiVersion": raw.get("apiVersion")}
                yield from relevant((typed,))
        elif KINDS.get(kind) == group:
            yield kind, raw


def identity(kind: str, raw: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name); the namespace is "default" where a namespaced object has none."""
    metadata = as_map(raw.get("metadata"), "metadata")
    name = metadata.get("name") or metadata.get("generateName")
    if not isinstance(name, str):
        raise ManifestError("metadata.name", "missing", kind)
    if kind == "Namespace":
        return "", name
    namespace = metadata.get("namespace") or "default"
    if not isinstance(namespace, str):
        raise ManifestError("metadata.namespace", f"found {namespace!r}; expected a string", f"{kind} {name}")
    return namespace, name
