"""An audit that follows a cluster: objects come and go one by one, and a round judges what stands.

Of a pod only what bears on connectivity is kept, with labels and ports shared among replicas. Coverage depends on
nothing outside a namespace, so a round works it out again only where something of the namespace has changed, and
once for pods that are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from tenantprofile.analysis.audit import Audit, audit
from tenantprofile.analysis.suite import Outcome, run
from tenantprofile.analysis.world import OPERATOR_NAMESPACE, Assembly, assemble
from tenantprofile.connectivity.coverage import Coverage, Levels, coverage_of
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World, read_pod
from tenantprofile.input.objects import Origin, SourceObject
from tenantprofile.linting.judge import Result, lint
from tenantprofile.names import API_VERSION

Kind = Literal["Namespace", "Pod", "Service", "NetworkPolicy", "TenantProfile", "PolicyTemplate"]

VERSIONS: Final[Mapping[Kind, str]] = {
    "Namespace": "v1",
    "Pod": "v1",
    "Service": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "TenantProfile": API_VERSION,
    "PolicyTemplate": API_VERSION,
}
"""The kinds that are followed."""

EXACT_UP_TO: Final = 20_000
"""As the audit's own, but for an answer every few seconds."""

_DROPPED: Final = frozenset({"managedFields", "ownerReferences", "generation", "resourceVersion", "selfLink"})
_PARSED: Final = frozenset({"Namespace", "Service", "NetworkPolicy"})
"""Of these one that cannot be read would spoil the whole world, so each is tried by itself."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a round found."""

    assembly: Assembly
    audit: Audit
    lint: Result
    assertions: tuple[Outcome, ...]

    @property
    def violated(self) -> list[Outcome]:
        """The assertions that do not hold, or cannot be decided."""
        return [outcome for outcome in self.assertions if outcome.result.status in ("failed", "error")]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What stands at one moment. changed: namespaces in which something is other than in the last snapshot."""

    objects: Sequence[SourceObject]
    pods: Sequence[Workload]
    changed: frozenset[str]


class Following:
    """The objects of a cluster. `read` may be called anywhere; the rest, but for `judge`, in one thread."""

    def __init__(
        self,
        source: str = "cluster",
        *,
        excluded: Sequence[str] = (),
        system: Sequence[str] = (),
        settings: Settings = DEFAULT_SETTINGS,
        operator_namespace: str = OPERATOR_NAMESPACE,
    ) -> None:
        self._origin = Origin(source)
        self._excluded = excluded
        self._system = system
        self._settings = settings
        self._operator_namespace = operator_namespace
        self._objects: dict[tuple[Kind, str, str], SourceObject] = {}
        self._pods: dict[str, dict[str, Workload]] = {}
        self._changed: set[str] = set()
        self._shared: dict[object, Any] = {}
        self._covered: dict[str, tuple[Coverage, ...]] = {}

    # --- objects ---

    def read(self, kind: Kind, raw: Mapping[str, Any]) -> SourceObject | Workload | None:
        """What is kept of an object; None for a finished pod. Raises ManifestError."""
        manifest = {"apiVersion": VERSIONS[kind], "kind": kind, **raw}
        if kind == "Pod":
            pod = read_pod(manifest)
            return pod and self._share(pod)
        metadata = manifest.get("metadata") or {}
        if kind in _PARSED:
            manifest["metadata"] = {k: v for k, v in metadata.items() if k not in _DROPPED}
            World.from_objects((manifest,))
        else:
            manifest["metadata"] = {k: v for k, v in metadata.items() if k != "managedFields"}
        return SourceObject(manifest, self._origin)

    def put(self, kind: Kind, namespace: str, name: str, value: SourceObject | Workload | None) -> None:
        """Take in what `read` has made of an object."""
        if value is None:
            self.remove(kind, namespace, name)
        elif isinstance(value, Workload):
            self._pods.setdefault(namespace, {})[name] = value
            self._changed.add(namespace)
        else:
            self._objects[kind, namespace, name] = value
            self._touch(kind, namespace, name)

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        """An object is gone."""
        if kind == "Pod":
            pods = self._pods.get(namespace, {})
            if pods.pop(name, None) is None:
                return
            if not pods:
                del self._pods[namespace]
            self._changed.add(namespace)
        elif self._objects.pop((kind, namespace, name), None) is not None:
            self._touch(kind, namespace, name)

    def _touch(self, kind: Kind, namespace: str, name: str) -> None:
        if kind == "NetworkPolicy":
            self._changed.add(namespace)
        elif kind == "Namespace":
            self._changed.add(name)

    def snapshot(self) -> Snapshot:
        """What stands now, to be judged in another thread while more comes in."""
        changed, self._changed = frozenset(self._changed), set()
        pods = [pod for inside in self._pods.values() for pod in inside.values()]
        self._forget_unused(pods)
        return Snapshot(list(self._objects.values()), pods, changed)

    def _share(self, pod: Workload) -> Workload:
        """One copy of what replicas have in common."""
        share = self._shared.setdefault
        return replace(
            pod,
            labels=share(("labels", *sorted(pod.labels.items())), pod.labels),
            ports=share(("ports", *pod.ports), pod.ports),
            node_addresses=share(("node", *pod.node_addresses), pod.node_addresses),
            owner=pod.owner and share(("owner", *pod.owner), pod.owner),
        )

    def _forget_unused(self, pods: Sequence[Workload]) -> None:
        if len(self._shared) > 10_000 + 8 * len(pods):
            self._shared.clear()

    # --- a round ---

    def judge(self, snapshot: Snapshot, today: str) -> Found:
        """Everything that stands. Snapshots are judged one by one, in their order. Raises InputError."""
        try:
            return self._judge(snapshot, today)
        except BaseException:
            self._covered.clear()  # what had changed is known no longer
            raise

    def _judge(self, snapshot: Snapshot, today: str) -> Found:
        assembly = assemble(snapshot.objects, operator_namespace=self._operator_namespace, pods=snapshot.pods)
        world = assembly.world
        for name in [name for name in self._covered if name not in world.namespaces]:
            del self._covered[name]
        levels = Levels(self._settings)
        for name in world.namespaces:
            if name in snapshot.changed or name not in self._covered:
                self._covered[name] = tuple(self._cover(world, name, levels))
        found = audit(
            assembly,
            excluded=self._excluded,
            system=self._system,
            settings=self._settings,
            covered=(pod for name in world.namespaces for pod in self._covered[name]),
            exact_up_to=EXACT_UP_TO,
        )
        linted = lint(
            snapshot.objects,
            today,
            complete=True,
            operator_namespace=self._operator_namespace,
            pods=snapshot.pods,
        )
        return Found(assembly, found, linted, tuple(run(assembly, self._settings)))

    def _cover(self, world: World, namespace: str, levels: Levels) -> Iterator[Coverage]:
        """The coverage of a namespace's pods, worked out once for those with the same labels."""
        known: dict[tuple[bool, tuple[tuple[str, str], ...]], Coverage] = {}
        keys: dict[int, tuple[tuple[str, str], ...]] = {}
        for pod in world.workloads_in(namespace):
            labels = keys.get(id(pod.labels))
            if labels is None:
                labels = keys[id(pod.labels)] = tuple(sorted(pod.labels.items()))
            key = pod.host_network, labels
            alike = known.get(key)
            if alike is None:
                alike = known[key] = coverage_of(world, pod, levels, self._settings)
            yield alike if alike.workload is pod else replace(alike, workload=pod)
