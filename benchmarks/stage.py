"""One cluster with everything set up: contents, profile, operator, bare clients, watchers.

The operator's policies are made once in one namespace, and what it made there is what the bare client
sends: the same writes, by the same ServiceAccount, in namespaces that no profile selects.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from benchmarks import content
from benchmarks.content import Content, Object, encoded
from benchmarks.record import Overdue, Record, Sighting
from benchmarks.usage import Meter
from benchmarks.wire import Request, Wire, version_in
from client import ALL_POLICIES, NAMESPACES, PROFILES, TEMPLATES, Client, policies_of
from controlplane import ControlPlane
from operatorprocess import ACCOUNT, NAMESPACE, OperatorProcess, install

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How the benchmark runs; each field is a flag of `python -m benchmarks`."""

    seed: int = 1
    connections: int = 48
    operator_flags: tuple[str, ...] = ()
    rest: float = 60.0
    samples: int = 100
    storm: int = 1000
    rounds: int = 3
    patience: float = 600.0
    """Seconds after which something that was waited for counts as failed."""


@dataclass(slots=True)
class Bare:
    """A policy that the bare client made, and its version."""

    namespace: str
    name: str
    body: Object
    version: str = ""


@dataclass(slots=True)
class Stage:
    """Set up by `async with`; `say` shows progress."""

    size: int
    options: Options
    say: Say
    _exits: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _bare: list[Bare] = field(default_factory=list)
    _generation: int = 1
    _expected: int = 1
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.others = min(max(self.size // 5, min(self.size, 100)), 1000)
        self.content = Content(self.size, self.others, self.options.seed)
        self.policies_wanted = self.size * len(content.RULES)

    cluster: ControlPlane = field(init=False)
    client: Client = field(init=False)
    admin: Wire = field(init=False)
    wire: Wire = field(init=False)
    _record: Record | None = field(init=False, default=None)
    operator: OperatorProcess = field(init=False)
    meter: Meter | None = field(init=False, default=None)
    bodies: list[tuple[str, Object]] = field(init=False)
    content: Content = field(init=False)
    others: int = field(init=False)
    policies_wanted: int = field(init=False)
    started_at: float = field(init=False, default=0.0)

    async def __aenter__(self) -> Self:
        try:
            await self._set_up()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def _set_up(self) -> None:
        self.say("starting a control plane and installing the operator's base")
        self.cluster = ControlPlane(audit=True)
        self._exits.callback(self.cluster.close)
        await asyncio.to_thread(self.cluster.up)
        await asyncio.to_thread(install, self.cluster)
        self.client = Client(self.cluster.admin_kubeconfig)
        self._exits.callback(self.client.close)
        account = self.cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT)
        connections = self.options.connections
        self.admin = await self._exits.enter_async_context(Wire(self.cluster.admin_kubeconfig, connections))
        self.wire = await self._exits.enter_async_context(Wire(account, connections))
        self.operator = OperatorProcess(
            self.cluster,
            f"--connections={connections}",
            *self.options.operator_flags,
            kubeconfig=account,
        )
        self._exits.push_async_callback(self.stop_operator)
        self.client.apply(TEMPLATES, content.template(1), manager="platform-team")
        self.client.apply(PROFILES, content.profile(), manager="platform-team")
        namespaces = list(self.content.namespaces())
        self.say("taking the operator's own policies of one namespace as the bare client's bodies")
        self.client.create(NAMESPACES, namespaces[0])
        first = self.content.selected()[0]
        await self.start_operator()
        await self.until_ready()
        self._expected = self.size
        self.bodies = content.bare_bodies(self.client.items(policies_of(first)))
        assert len(self.bodies) == len(content.RULES)
        await self.stop_operator()
        await self.remove_policies([first])
        self.say(f"creating {len(namespaces)} namespaces and the policies of others in some of them")
        await self.admin.send_all(Request("POST", NAMESPACES, encoded(body)) for body in namespaces[1:])
        await self.admin.send_all(
            Request("POST", policies_of(name), encoded(body), manager="tenant")
            for name, body in self.content.foreign()
        )
        self._record = await self._exits.enter_async_context(
            Record(self.cluster.admin_kubeconfig, ALL_POLICIES, self.cluster.directory / "policies.events")
        )
        # As many as the operator writes: a short burst goes faster than what an API server keeps up.
        self._bare = [
            Bare(name, f"{policy}-{copy}", renamed(body, f"{policy}-{copy}"))
            for name in self.content.unselected()
            for copy in range(-(-self.size // self.others))
            for policy, body in self.bodies
        ][: self.policies_wanted]

    @property
    def rounds(self) -> int:
        """Repetitions at this size: small ones are over in half a second and vary the most, large ones take long."""
        if self.size <= 200:
            return self.options.rounds * 3
        return self.options.rounds if self.size <= 2000 else max(1, self.options.rounds // 3)

    @property
    def policies(self) -> Record:
        """What the watcher sees of all NetworkPolicies."""
        assert self._record is not None, "the watcher does not watch yet"
        return self._record

    # --- the operator ---

    async def start_operator(self) -> None:
        self.started_at = time.monotonic()
        self.operator.start(wait=False)
        pid = self.operator.pid
        assert pid is not None
        self.meter = Meter(pid)

    async def until_ready(self) -> float:
        """Wait until /readyz answers 200; seconds since the start."""
        while not (await asyncio.to_thread(self.operator.probe, "readyz"))[0]:
            if not self.operator.alive or time.monotonic() > self.started_at + self.options.patience:
                raise Overdue(f"the operator is not ready:\n{self.operator.log()[-3000:]}")
            await asyncio.sleep(0.01)
        ready = time.monotonic() - self.started_at
        await self.until_settled()
        return ready

    async def until_settled(self) -> None:
        """Wait until the profile's status says that every namespace has what it should."""
        deadline = time.monotonic() + self.options.patience
        while True:
            found = await asyncio.to_thread(self.client.get, f"{PROFILES}/{content.PROFILE}")
            ready: dict[str, Any] = next(
                (c for c in found.get("status", {}).get("conditions", []) if c["type"] == "Ready"), {}
            )
            # The count as well: a status of before may say Ready for what it knew.
            protected = found.get("status", {}).get("namespaces", {}).get("ready", 0)
            if ready.get("status") == "True" and protected >= self._expected:
                return
            if time.monotonic() > deadline or not self.operator.alive:
                raise Overdue(f"the profile is not ready: {ready}\n{self.operator.log()[-3000:]}")
            await asyncio.sleep(0.2)

    async def stop_operator(self) -> None:
        if self.meter is not None:
            self.meter.stop()
            self.meter = None
        await asyncio.to_thread(self.operator.stop)

    @property
    def running(self) -> Meter:
        assert self.meter is not None, "the operator does not run"
        return self.meter

    async def ensure_protected(self) -> None:
        """The operator runs, and everything is as desired."""
        if self.meter is None:
            await self.start_operator()
            await self.until_ready()
        await self.until_settled()
        await self.running.quiet()

    async def remove_policies(self, namespaces: Iterable[str]) -> None:
        """Take all managed policies out of namespaces; the operator must not be running."""
        selector = "labelSelector=app.kubernetes.io/managed-by"
        mark = self.policies.mark() if self._record is not None else None
        answers = await self.admin.send_all(
            Request("DELETE", f"{policies_of(name)}?{selector}") for name in namespaces
        )
        if mark is not None:
            gone = sum(len(json.loads(answer)["items"]) for answer in answers)
            await self.policies.grows(mark, gone, within=self.options.patience, what="deletions")

    # --- the floor ---

    async def floor_creates(self) -> float:
        """Policies per second that the bare client creates, first to last as the watcher saw them."""
        if any(bare.version for bare in self._bare):
            await self.remove_policies(self.content.unselected())
        mark = self.policies.mark()
        requests = [Request("POST", policies_of(bare.namespace), encoded(bare.body)) for bare in self._bare]
        self._remember(await self.wire.send_all(requests))
        seen = await self._seen(mark, len(requests), "ADDED")
        return rate(seen)

    async def floor_updates(self) -> float:
        """The same for changes of existing ones."""
        if not all(bare.version for bare in self._bare):
            await self.floor_creates()
        self._generation += 1
        mark = self.policies.mark()
        requests = [self._update(bare) for bare in self._bare]
        self._remember(await self.wire.send_all(requests))
        return rate(await self._seen(mark, len(requests), "MODIFIED"))

    async def one_bare_update(self) -> float:
        """Seconds from sending one bare update until the watcher shows it."""
        bare = self._bare[next(self._serial) % len(self._bare)]
        self._generation += 1
        mark = self.policies.mark()
        sent = time.monotonic()
        bare.version = version_in(await self.wire.send(self._update(bare)))
        await self.policies.grows(mark, 1, within=self.options.patience, every=0.002)
        return self.policies.since(mark)[0].at - sent

    async def bare_updates(self, count: int) -> tuple[float, float]:
        """When the watcher saw the first and the last of some updates, sent as fast as possible."""
        chosen = list(itertools.islice(itertools.cycle(self._bare), min(count, len(self._bare))))
        self._generation += 1
        mark = self.policies.mark()
        answers = await self.wire.send_all([self._update(bare) for bare in chosen])
        for bare, answer in zip(chosen, answers, strict=True):
            bare.version = version_in(answer)
        seen = await self._seen(mark, len(chosen), "MODIFIED")
        return seen[0].at, seen[-1].at

    @property
    def bare(self) -> list[Bare]:
        return self._bare

    def _update(self, bare: Bare) -> Request:
        metadata = {**bare.body["metadata"], "resourceVersion": bare.version}
        selector = {"matchExpressions": [{"key": f"exempt-{self._generation}", "operator": "DoesNotExist"}]}
        spec = {**bare.body["spec"], "podSelector": selector}
        path = f"{policies_of(bare.namespace)}/{bare.name}"
        return Request("PUT", path, encoded({**bare.body, "metadata": metadata, "spec": spec}))

    def _remember(self, answers: list[bytes]) -> None:
        for bare, answer in zip(self._bare, answers, strict=True):
            bare.version = version_in(answer)

    async def _seen(self, mark: Any, count: int, kind: str) -> list[Sighting]:
        await self.policies.grows(mark, count, within=self.options.patience, every=0.02)
        return [seen for seen in self.policies.since(mark) if seen.type == kind]

    # --- the audit log ---

    def requests_since(self, moment: str) -> Counter[tuple[str, str]]:
        """The operator's own requests by verb and resource; leases and probes are not in the log."""
        found: Counter[tuple[str, str]] = Counter()
        user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        for event in self.cluster.audit_events():
            if (
                event["requestReceivedTimestamp"] >= moment
                and event["user"]["username"] == user
                and event.get("userAgent") != "benchmark"
            ):
                resource = event.get("objectRef", {}).get("resource", event.get("requestURI", ""))
                found[event["verb"], resource] += 1
        return found


def writes(requests: Counter[tuple[str, str]]) -> int:
    return sum(n for (verb, _), n in requests.items() if verb not in ("get", "list", "watch"))


def renamed(body: Object, name: str) -> Object:
    """The same object under another name."""
    return {**body, "metadata": {**body["metadata"], "name": name}}


def moment() -> str:
    """Now, as the audit log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rate(seen: list[Sighting]) -> float:
    """Per second, from the first to the last."""
    if len(seen) < 2 or seen[-1].at <= seen[0].at:
        return 0.0
    return (len(seen) - 1) / (seen[-1].at - seen[0].at)


median = statistics.median


def ratio_to_floor(rates: list[float], floors: list[float]) -> float:
    """Each round beside the floors just before and just after it: shared machines change by the minute."""
    return median(rate / statistics.fmean(floors[number : number + 2]) for number, rate in enumerate(rates))
