"""Where commands get their objects: files, folders, standard input, or a live cluster.

A cluster is only looked at when it is asked for with `--kubeconfig` or `--context`, never because a
shell happens to point at one. What cannot be read is an error or, where an answer is still worth
something without it, a note; nothing is left out silently.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from tenantprofile.cli import kustomize
from tenantprofile.cli.connection import ConnectionFailed, connected, plain
from tenantprofile.cli.options import cluster_options as cluster_options
from tenantprofile.cli.progress import working
from tenantprofile.connectivity.manifests import VERSIONS
from tenantprofile.connectivity.workloads import TEMPLATES
from tenantprofile.input.documents import DocumentError
from tenantprofile.input.objects import ObjectError, Origin, SourceObject, read_text
from tenantprofile.input.unread import POLICY_KINDS, listed, makers, refused_objects, unread_policies
from tenantprofile.names import API_VERSION

SUFFIXES: Final = (".yaml", ".yml", ".json")

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "Namespace": ("v1", "namespaces"),
    "Pod": ("v1", "pods"),
    "Service": ("v1", "services"),
    "Deployment": ("apps/v1", "deployments"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "Job": ("batch/v1", "jobs"),
    "CronJob": ("batch/v1", "cronjobs"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "TenantProfile": (API_VERSION, "tenantprofiles"),
    "PolicyTemplate": (API_VERSION, "policytemplates"),
    "Node": ("v1", "nodes"),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices"),
}
"""What is read of a cluster: each kind with its API version and its plural."""

EXTRA: Final[Mapping[str, tuple[str, str]]] = {
    "ValidatingWebhookConfiguration": (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
    ),
    "MutatingWebhookConfiguration": ("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"),
    "APIService": ("apiregistration.k8s.io/v1", "apiservices"),
    "Ingress": ("networking.k8s.io/v1", "ingresses"),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "httproutes"),
    "GRPCRoute": ("gateway.networking.k8s.io/v1", "grpcroutes"),
    "Route": ("route.openshift.io/v1", "routes"),
    "ServiceMonitor": ("monitoring.coreos.com/v1", "servicemonitors"),
    "PodMonitor": ("monitoring.coreos.com/v1", "podmonitors"),
}
"""What is read of a cluster besides, when flows that objects need are asked about."""

INDISPENSABLE: Final = frozenset({"Namespace", "NetworkPolicy", "Pod"})
"""Without these any answer would be wrong, not just incomplete."""

_POD_SPEC: Final = ("nodeName", "hostNetwork", "containers", "initContainers")
_POD_STATUS: Final = ("phase", "podIP", "podIPs", "hostIP", "hostIPs")
_CONTAINER: Final = ("name", "ports", "restartPolicy")

_NAMESPACED: Final = frozenset(KINDS) - {"Namespace", "TenantProfile", "PolicyTemplate", "Node"}
_MEANT: Final = re.compile(rf"^\s*\"?kind\"?:\s*\"?({'|'.join(KINDS)})\b", re.MULTILINE)
"""A text with one of the kinds that are read."""
_GO_TEMPLATE: Final = re.compile(r"\{\{-?\s*[\w.$\"(]")
"""The beginning of an action (Go documentation, text/template)."""


class SourceError(Exception):
    """Something that was asked for cannot be read; the message says what, where and why."""


@dataclass(slots=True)
class Sources:
    """What was read. notes: what a person should know of the reading, to be shown beside any answer.

    missing: kinds that the cluster did not let us read. cluster: the cluster that was read, as its
    server's URL; empty for files alone. digests: SHA-256 of each text that was read, by its name.
    replaced: objects of the cluster in whose place those of the files count.
    """

    objects: list[SourceObject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    cluster: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    replaced: list[SourceObject] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Files that would have to be read and cannot be."""
    lacking: bool = False
    """Something that may bear on an answer was not read; the notes say what."""


def read_sources(
    names: Iterable[str],
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    indispensable: frozenset[str] = INDISPENSABLE,
    extra: bool = False,
    exclude: Iterable[str] = (),
    default_namespace: str = "",
    kinds: frozenset[str] = frozenset(KINDS),
) -> Sources:
    """Everything that was named: files, folders, `-`, and a cluster. Raises SourceError.

    Where files and a cluster hold the same object, that of the files counts: so a change can be
    judged against a cluster before it is applied. indispensable: kinds without which there is no
    answer; a cluster that refuses them is an error, one that refuses others is a note. exclude: patterns of
    files in folders that are passed over. default_namespace: where objects belong that name no namespace.
    kinds: what is read of a cluster. extra: EXTRA, too.
    """
    found = Sources()
    listed = list(dict.fromkeys(names))
    for name in listed:
        found.objects.extend(_read(name, found, tuple(exclude), several=len(listed) > 1))
    if found.problems:
        raise SourceError("\n".join(found.problems))
    _place(found, default_namespace)
    _say_what_was_not_read(found)
    if kubeconfig is not None or context is not None:
        live = asyncio.run(_read_cluster(kubeconfig, context, indispensable, kinds, extra))
        own = {_identity(item) for item in found.objects}
        replaced = [item for item in live.objects if _identity(item) in own]
        notes = [*found.notes, *live.notes]
        if replaced:
            notes.append(f"{_listed(replaced)}: as in the files, not as in the cluster")
        objects = [*found.objects, *(item for item in live.objects if _identity(item) not in own)]
        return Sources(
            objects,
            notes,
            live.missing,
            live.cluster,
            found.digests,
            replaced,
            lacking=found.lacking or live.lacking,
        )
    return found


def _identity(item: SourceObject) -> tuple[str, str, str, str]:
    cluster_scoped = item.kind in ("Namespace", "TenantProfile", "PolicyTemplate")
    return item.group, item.kind, "" if cluster_scoped else item.namespace or "default", item.name


def _listed(items: list[SourceObject]) -> str:
    shown = ", ".join(str(item) for item in items[:3])
    return shown if len(items) <= 3 else f"{shown} and {len(items) - 3} more"


# --- files ---


def _place(found: Sources, default_namespace: str) -> None:
    """Objects that name no namespace get one, and it is said."""
    homeless = [
        index
        for index, item in enumerate(found.objects)
        if not item.namespace and item.kind in _NAMESPACED and VERSIONS.get(item.kind) == item.api_version
    ]
    if not homeless:
        return
    namespace = default_namespace or "default"
    for index in homeless:
        item = found.objects[index]
        if default_namespace and isinstance(item.raw.get("metadata"), Mapping):
            metadata = {**item.metadata, "namespace": namespace}
            found.objects[index] = SourceObject({**item.raw, "metadata": metadata}, item.origin)
    if not default_namespace:
        count = len(homeless)
        found.notes.append(
            f"{count} object{'' if count == 1 else 's'} without a namespace {'is' if count == 1 else 'are'} taken as in"
            " namespace default; name another one with -n"
        )


def _say_what_was_not_read(found: Sources) -> None:
    _say_which_policies_were_not_read(found)
    if refused := refused_objects(found.objects):
        found.lacking = True
        found.notes.append(
            f"the API server does not serve these kinds and versions, so they count as absent: {listed(refused)}"
        )
    if made := makers(found.objects):
        kinds: Counter[str] = sum(made.values(), Counter())
        found.lacking = True
        found.notes.append(
            f"controllers make pods for {listed(kinds)}, which are in no manifest and are not judged"
        )


def _say_which_policies_were_not_read(found: Sources) -> None:
    if policies := unread_policies(found.objects):
        found.lacking = True
        found.notes.append(
            f"policies that are not read: {listed(policies)}; answers are about NetworkPolicies of"
            " networking.k8s.io/v1 alone"
        )


def _read(name: str, found: Sources, exclude: tuple[str, ...], *, several: bool) -> Iterator[SourceObject]:
    if name == "-":
        yield from _objects(_decoded(sys.stdin.buffer.read(), name := "standard input"), name, found)
        return
    path = Path(name)
    if path.is_dir():
        yield from _folder(path, found, exclude)
    elif path.is_file() or path.is_fifo():
        yield from _objects(_text(path), name, found, lenient=several)
    else:
        raise SourceError(f"{name}: no such file or folder")


def _folder(path: Path, found: Sources, exclude: tuple[str, ...]) -> Iterator[SourceObject]:
    def is_wanted(file: Path) -> bool:
        relative = file.relative_to(path)
        names = (str(relative), file.name, *(part.name for part in relative.parents))
        return _is_meant(file, path) and not any(
            fnmatch(name, pattern) for name in names for pattern in exclude
        )

    files = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and is_wanted(p))
    if not files:
        found.notes.append(f"{path}: no file in it ends in {', '.join(SUFFIXES)}")
    built = [kustomize.build(root) for root in _kustomization_roots(path, is_wanted)]
    inside: set[Path] = set()
    as_they_are: set[Path] = set()
    for one in built:
        if one.problem:
            found.lacking = True
            as_they_are |= kustomize.reached(one.folder)
            found.notes.append(
                f"{one.folder}: a kustomization that was not built ({one.problem}); its files are read as they are."
                f" Build it first: kubectl kustomize {one.folder}"
            )
        else:
            found.notes.append(f"{one.folder}: built as a kustomization")
            inside |= kustomize.reached(one.folder)
            yield from _objects(one.text, f"{one.folder} (built)", found, lenient=True)
    for file in files:
        # The nearest kustomization above a file is the one that may take it up.
        home = next((p for p in file.resolve().parents if p in inside or p in as_they_are), None)
        if home is None or home not in inside:
            yield from _objects(_text(file), str(file), found, lenient=True)


def _kustomization_roots(path: Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    folders = [folder for folder in kustomize.kustomizations(path) if is_wanted(_kustomization_file(folder))]
    return [folder for folder in kustomize.roots(folders) if not kustomize.is_component(folder)]


def _kustomization_file(folder: Path) -> Path:
    return next(folder / name for name in kustomize.NAMES if (folder / name).is_file())


def _is_meant(file: Path, folder: Path) -> bool:
    """Not what is hidden, such as .git and .github."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.is_file()


def _text(file: Path) -> str:
    try:
        return _decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror or error}") from error


def _decoded(raw: bytes, source: str) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{source}: not UTF-8 (byte {error.start}); expected YAML or JSON") from error


def _objects(text: str, source: str, found: Sources, *, lenient: bool = False) -> Iterator[SourceObject]:
    """The objects of a text. Lenient: other YAML is passed over and said, because folders hold it, too."""
    found.digests[source] = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    others: list[ObjectError] | None = [] if lenient else None
    try:
        yield from read_text(text, source, others)
    except (DocumentError, ObjectError) as error:
        template = _GO_TEMPLATE.search(text) is not None
        why = f"{source}: a Go template; render it first: helm template …" if template else str(error)
        if not lenient:
            raise SourceError(why) from error
        if template or not _MEANT.search(text):
            found.lacking = found.lacking or template
            found.notes.append(f"{why}; passed over")
        else:
            found.problems.append(why)
    if Path(source).name in kustomize.NAMES:
        return
    found.notes.extend(f"{error}; passed over" for error in others or ())


# --- a cluster ---


async def _read_cluster(
    kubeconfig: Path | None,
    context: str | None,
    indispensable: frozenset[str],
    only: frozenset[str],
    extra: bool = False,
) -> Sources:
    source = f"cluster {context}" if context else "cluster"
    try:
        async with connected(kubeconfig, context) as (api, credentials):
            found = Sources(cluster=credentials.server)
            known = {**KINDS, **(EXTRA if extra else {})}
            # Other kinds of policies bear on an answer about NetworkPolicies, and on no other.
            others, complaint = (
                await _other_policy_kinds(api, source) if "NetworkPolicy" in only else ([], "")
            )
            kinds = [(kind, *place) for kind, place in known.items() if kind in only or kind in EXTRA]
            kinds += others
            with working(f"reading {credentials.server}", len(kinds)) as done:
                lists = await asyncio.gather(
                    *(_list(api, credentials, *kind, source, indispensable, done) for kind in kinds)
                )
    except ConnectionFailed as error:
        raise SourceError(str(error)) from error
    if complaint:
        found.lacking = True
        found.notes.append(complaint)
    for (kind, _, _), (items, complaint) in zip(kinds, lists, strict=True):
        found.objects.extend(items)
        if complaint:
            found.lacking = True
            found.missing.append(kind)
            found.notes.append(complaint)
    _say_which_policies_were_not_read(found)
    return found


async def _other_policy_kinds(api: Any, source: str) -> tuple[list[tuple[str, str, str]], str]:
    """The kinds of POLICY_KINDS that the cluster has, each with version and plural; or why that is not known.

    One request, and one for each version of an API group with such kinds (Kubernetes documentation, API
    discovery).
    """
    from tenantprofile.cluster.api import ApiError

    found: list[tuple[str, str, str]] = []
    try:
        groups = {one["name"]: one["versions"] for one in (await api.get("/apis"))["groups"]}
        wanted = {group for group, _ in POLICY_KINDS} & groups.keys()
        if "projectcalico.org" in wanted:
            wanted.discard("crd.projectcalico.org")  # the same objects, as Calico stores them
        for group in sorted(wanted):
            # The preferred version comes first; others may have kinds that it has not.
            kinds: dict[str, tuple[str, str, str]] = {}
            for version in [one["groupVersion"] for one in groups[group]]:
                for resource in (await api.get(f"/apis/{version}"))["resources"]:
                    kind, plural = resource["kind"], resource["name"]
                    if (group, kind) in POLICY_KINDS and "/" not in plural:
                        kinds.setdefault(kind, (kind, version, plural))
            found.extend(kinds.values())
    except (ApiError, KeyError, TypeError) as error:
        why = f"its APIs cannot be listed: {error}"
        return found, f"whether the {source} has policies of other kinds is not known, because {why}"
    return found, ""


async def _list(
    api: Any,
    credentials: Any,
    kind: str,
    version: str,
    plural: str,
    source: str,
    indispensable: frozenset[str],
    done: Callable[[], None],
) -> tuple[list[SourceObject], str]:
    """All objects of a kind, or why they could not be read."""
    from tenantprofile.cluster.api import ApiError, Gone

    ours = (version, plural) == KINDS.get(kind)
    path = f"/apis/{version}/{plural}" if "/" in version else f"/api/{version}/{plural}"
    for _ in range(3):
        found: list[SourceObject] = []
        try:
            async for page in api.pages(path):
                found.extend(
                    SourceObject(_trimmed({"apiVersion": version, "kind": kind, **raw}), Origin(source))
                    for raw in page.items
                )
        except Gone:
            continue  # the list took longer than its snapshot was kept
        except ApiError as error:
            if error.status == 404 and (version == API_VERSION or not ours):
                done()
                return [], ""  # its CRD is not installed there, so there is nothing of the kind
            if error.status == 0:
                raise SourceError(plain(error, credentials)) from error
            message = f"{plural} of the {source} cannot be listed: {plain(error, credentials)}"
            if error.status not in (401, 403, 404, 503) or (ours and kind in indispensable):
                raise SourceError(message) from error
            done()
            return [], f"{message}; what follows leaves them out"
        done()
        return found, ""
    raise SourceError(f"{plural} of the {source} cannot be listed: the list expires before it ends")


def _trimmed(raw: dict[str, Any]) -> dict[str, Any]:
    """Without what bears on nothing here: in 100,000 pods that is nine tenths of the memory."""
    kind, group = raw["kind"], raw["apiVersion"].rpartition("/")[0]
    metadata = {k: v for k, v in (raw.get("metadata") or {}).items() if k != "managedFields"}
    trimmed = {**raw, "metadata": metadata}
    if (group, kind) in POLICY_KINDS:
        return {"apiVersion": raw["apiVersion"], "kind": kind, "metadata": metadata}
    if kind == "Node":
        status = raw.get("status") or {}
        trimmed["status"] = {"addresses": status.get("addresses") or []}
    elif kind == "Pod":
        metadata.pop("annotations", None)
        status = raw.get("status") or {}
        trimmed["status"] = {key: status[key] for key in _POD_STATUS if key in status}
        trimmed["spec"] = _trimmed_pod(raw.get("spec") or {})
    elif kind in TEMPLATES:
        trimmed.pop("status", None)
        parent, pod = trimmed, raw
        for step in TEMPLATES[kind]:
            pod = pod.get(step) or {}
            parent[step] = dict(pod)
            parent = parent[step]
        parent["spec"] = _trimmed_pod(pod.get("spec") or {})
    return trimmed


def _trimmed_pod(spec: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: spec[key] for key in _POD_SPEC if key in spec}
    for key in ("containers", "initContainers"):
        if key in kept:
            kept[key] = [{f: c[f] for f in _CONTAINER if f in c} for c in kept[key] or ()]
    return kept
