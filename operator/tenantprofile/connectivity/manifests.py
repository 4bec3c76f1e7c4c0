"""Reading fields of Kubernetes manifests, with errors that name the object and the field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tenantprofile.paths import Complaint, Path, path_of

VERSIONS: Final[Mapping[str, str]] = {
    "Namespace": "v1",
    "Pod": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
"""The kinds that bear on connectivity, each in the version that the API server serves. What is of another version is
refused by it and counts as absent; other groups' kinds of the same name, such as Calico's NetworkPolicy, are other
things."""
KINDS: Final[Mapping[str, str]] = {kind: version.rpartition("/")[0] for kind, version in VERSIONS.items()}
"""The same kinds with their API groups."""


def pod_template(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`spec.template` of an object of any kind that makes pods from one (Rollout, ReplicationController, …)."""
    spec = raw.get("spec")
    template = spec.get("template") if isinstance(spec, Mapping) else None
    inner = template.get("spec") if isinstance(template, Mapping) else None
    if (
        isinstance(template, Mapping)
        and isinstance(inner, Mapping)
        and isinstance(inner.get("containers"), list)
    ):
        return template
    return None


POLICY_FIELDS: Final = ("apiVersion", "kind", "metadata", "spec", "status")
"""The fields of a NetworkPolicy; the last is of old API servers, which filled it."""


class ManifestError(ValueError):
    """A manifest that the API server would refuse: `object` (kind ns/name), `path`, what is wrong."""

    def __init__(self, path: str | Path, message: str, object: str = "") -> None:
        self.object = object
        self.path = path_of(path)
        self.message = message
        told = str(Complaint(self.path, message))
        super().__init__(f"{object}: {told}" if object else told)

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
            raise ManifestError((*path_of(path), str(field)), f"unknown field; expected {' or '.join(known)}")


def as_text(raw: object, path: str) -> str | None:
    """Text; None for null and missing."""
    if raw is None or isinstance(raw, str):
        return raw
    raise ManifestError(path, f"found {raw!r}; expected a string (quote it)")


def as_flag(raw: object, path: str) -> bool:
    """True or false; null and missing are false."""
    if raw is None or isinstance(raw, bool):
        return bool(raw)
    raise ManifestError(path, f"found {raw!r}; expected true or false")


def labels_of(raw: object, path: str) -> dict[str, str]:
    """Labels, sorted by key, so that nothing depends on the order in which they were written."""
    labels = as_map(raw, path)
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ManifestError(
                (*path_of(path), str(key)), f"found {value!r}; labels are strings, so quote it"
            )
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
        if kind == "List" or (kind.endswith("List") and isinstance(raw.get("items"), list)):
            inner = kind.removesuffix("List")
            for item in as_list(raw.get("items"), "items"):
                typed = item if not inner or "kind" in item else {**item, "kind": inner}
                if inner and "apiVersion" not in typed:
                    typed = {**typed, "apiVersion": raw.get("apiVersion")}
                yield from relevant((typed,))
        elif VERSIONS.get(kind) == raw.get("apiVersion") or (kind not in KINDS and pod_template(raw)):
            yield kind, raw


def check_metadata(kind: str, raw: Mapping[str, Any]) -> None:
    """Refuse what the API server would refuse of any object: it would not be there. Raises ManifestError.

    Labels of a Pod are read with it.
    """
    metadata = as_map(raw.get("metadata"), "metadata")
    if kind != "Pod":
        labels_of(metadata.get("labels"), "metadata.labels")
    labels_of(metadata.get("annotations"), "metadata.annotations")
    if kind == "NetworkPolicy":
        for field in raw:
            if field not in POLICY_FIELDS:
                raise ManifestError((str(field),), f"unknown field; expected {', '.join(POLICY_FIELDS[:4])}")


def identity(kind: str, raw: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name); the namespace is "default" where a namespaced object has none."""
    metadata = as_map(raw.get("metadata"), "metadata")
    name = metadata["name"] if metadata.get("name") is not None else metadata.get("generateName")
    if name is None or name == "":
        raise ManifestError("metadata.name", "missing", kind)
    if not isinstance(name, str):
        raise ManifestError("metadata.name", f"found {name!r}; expected a string (quote it)", kind)
    if kind == "Namespace":
        return "", name
    namespace = metadata.get("namespace") or "default"
    if not isinstance(namespace, str):
        raise ManifestError("metadata.namespace", f"found {namespace!r}; expected a string", f"{kind} {name}")
    return namespace, name
