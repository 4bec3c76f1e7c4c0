"""The operator as a process: everything started in order, watched, and ended together.

Order: probes first (they answer during everything else), then Kopf, the lists and the lease side by side, then, once
this operator holds the lease, knows everything and has read its ledger, the workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kopf

from tenantprofile.cluster.api import Api, ApiError
from tenantprofile.cluster.credentials import Credentials
from tenantprofile.controller import handlers
from tenantprofile.controller.controller import Controller
from tenantprofile.controller.events import EventRecorder
from tenantprofile.controller.health import Health
from tenantprofile.controller.lease import Lease
from tenantprofile.controller.ledger import Ledger
from tenantprofile.controller.metrics import Metrics, Present, Unmeasured
from tenantprofile.controller.policies import PolicyCache
from tenantprofile.controller.probes import MetricsServer, ProbeServer
from tenantprofile.controller.queue import Priority, WorkQueue
from tenantprofile.controller.reconcile import Reconciler
from tenantprofile.controller.renderer import ProcessRenderer
from tenantprofile.controller.scrape_access import ScrapeAccess
from tenantprofile.controller.seal import Seal
from tenantprofile.controller.state import State
from tenantprofile.controller.status_writer import StatusWriter
from tenantprofile.controller.tracing import Tracing
from tenantprofile.settings import KOPF_PAUSE, LAST_WRITES, LEDGER_PAUSE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the operator runs; each field is a flag of `tenantprofile run`, which documents it."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = "tenantprofile-system"
    identity: str = ""
    leader_election: bool = True
    workers: int = 32
    connections: int = 48
    comparison_interval: float = 600.0
    probe_port: int = 8080
    metrics_port: int = 0
    metrics_cert: Path | None = None
    metrics_key: Path | None = None
    metrics_secure: bool = False
    tracing: bool = False


async def run(settings: Settings) -> None:
    """Run until a signal. Raises CredentialsError and OSError (a port that is taken)."""
    credentials = await Credentials.load(settings.kubeconfig, settings.context)
    async with Api(credentials, connections=settings.connections) as api:
        await _Operator(settings, credentials, api).run()


class _Operator:
    def __init__(self, settings: Settings, credentials: Credentials, api: Api) -> None:
        clock = time.monotonic
        self._settings = settings
        self._credentials = credentials
        self._api = api
        self._clock = clock
        self._state = State(operator_namespace=settings.namespace)
        policies = PolicyCache()
        measured = settings.metrics_port != 0
        self._metrics = Metrics(clock) if measured else Unmeasured(clock)
        self._queue = WorkQueue(clock, self._metrics.queue if measured else None)
        self._renderer = ProcessRenderer()
        if measured:
            self._renderer.rendered = self._metrics.rendered
            api.requested = self._metrics.requested
        self._status_writer = StatusWriter(api, self._state, self._renderer)
        self._events = EventRecorder(api, clock)
        self._tracing = self._traced(api) if settings.tracing else Tracing()
        self._metrics.standby = self._tracing.standby = settings.leader_election
        self._ledger = Ledger(api, settings.namespace)
        self._seal = Seal()
        self._reconciler = Reconciler(
            api,
            self._state,
            policies,
            self._ledger,
            self._seal,
            self._renderer,
            self._status_writer,
            self._events,
            self._metrics,
            self._tracing,
            clock,
        )
        self._controller = Controller(
            api,
            self._state,
            policies,
            self._queue,
            self._status_writer,
            self._ledger,
            self._reconciler,
            self._metrics,
            self._tracing,
            clock,
            synced=self._synced,
        )
        self._lease = Lease(
            api,
            namespace=settings.namespace,
            name="tenantprofile-operator",
            identity=settings.identity,
            changed=self._leading_changed,
            clock=clock,
            went_back=self._controller.read_anew,
        )
        self._leads = not settings.leader_election
        self._has_ledger = False
        self._may_write = asyncio.Event()
        self._turn = asyncio.Event()

    def _traced(self, api: Api) -> Tracing:
        """Imported only where it is asked for: the SDK is an extra, and takes memory. Raises TracingError."""
        from tenantprofile.controller.otel import OtelTracing

        tracing = OtelTracing(self._clock)
        count = api.requested

        def requested(method: str, path: str, code: int, seconds: float) -> None:
            count(method, path, code, seconds)
            tracing.requested(method, path, code, seconds)

        api.requested = requested
        return tracing

    async def run(self) -> None:
        informers = self._controller.informers
        health = Health(
            clock=self._clock,
            last_contact={i.kind: functools.partial(getattr, i, "last_contact") for i in informers},
            compared_at=lambda: self._controller.compared_at,
            longest_wait=lambda: self._queue.oldest() if self._may_write.is_set() else 0.0,
            complete=lambda: self._state.complete,
            comparison_interval=self._settings.comparison_interval,
            problems=(
                *(informer.problem for informer in informers),
                self._lease.problem if self._settings.leader_election else lambda: None,
                lambda: self._ledger.problem if self._settings.leader_election else None,
            ),
        )
        probes = ProbeServer(
            self._settings.probe_port,
            live=(health.stream_is_stale, health.queue_is_stuck, health.comparison_is_late),
            ready=(health.is_not_ready,),
        )
        try:
            await probes.start()
        except OSError as error:
            raise OSError(
                f"cannot listen on port {self._settings.probe_port}: {error.strerror or error}; name a free one with"
                " --probe-port, or 0 for none"
            ) from error
        self._metrics.registry.register(self._present())
        metrics = MetricsServer(
            self._settings.metrics_port,
            self._metrics.registry,
            self._settings.metrics_cert,
            self._settings.metrics_key,
            access=ScrapeAccess(self._api, self._clock) if self._settings.metrics_secure else None,
        )
        try:
            await metrics.start()
        except OSError as error:
            await probes.stop()
            raise OSError(
                f"cannot serve metrics on port {self._settings.metrics_port}: {error.strerror or error}; name a free"
                " one with --metrics-port, or 0 for none"
            ) from error
        tasks: list[Coroutine[Any, Any, None]] = [
            self._kopf(),
            *(informer.run() for informer in informers),
            self._controller.keep_comparing(self._settings.comparison_interval),
            self._controller.fan_out(),
            self._controller.learn_kinds(),
            self._events.run(),
            self._status_writer.run(self._may_write.is_set),
            self._status_writer.run_templates(self._may_write.is_set),
            self._ledger.run(self._may_write.is_set),
            self._open_or_close(),
            *(self._work(Priority.LOW) for _ in range(self._settings.workers)),
            # A new namespace finds one free while a fan-out keeps all the others busy.
            *(self._work(Priority.HIGH) for _ in range(-(-self._settings.workers // 2))),
        ]
        if self._settings.leader_election:
            self._api.may_write = self._lease.is_held
            tasks.append(self._lease.run())
        running = [asyncio.create_task(task) for task in tasks]
        # Beside the lists; nothing waits for it.
        connecting = asyncio.create_task(self._api.open_connections(self._settings.workers))
        try:
            # Kopf ends on a signal; anything else that ends has failed.
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                # Before Python 3.12, Kopf cancels what others wait for when it ends (asyncio.wait_for makes tasks).
                if not task.cancelled():
                    await task
        finally:
            self._may_write.clear()
            connecting.cancel()
            await self._keep_ledger()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._renderer.stop()
            await self._tracing.stop()
            await metrics.stop()
            await probes.stop()

    def _present(self) -> Present:
        informers = self._controller.informers

        def ago(informer: Any) -> Callable[[], float]:
            return lambda: self._clock() - informer.last_contact

        return Present(
            # What a replica counted when it led is old, and what waits at a standby is the leader's to do.
            tallies=lambda: self._status_writer.tallies if self._leads else {},
            depth=lambda: self._queue.ready,
            under_way=self._queue.under_way,
            oldest=lambda: self._queue.oldest() if self._may_write.is_set() else 0.0,
            watches={informer.kind: ago(informer) for informer in informers},
            blind={informer.kind: informer.problem for informer in informers},
            compared=lambda: self._clock() - self._controller.compared_at,
            leads=lambda: self._leads,
        )

    def _synced(self, complete: bool) -> None:
        if complete:
            logger.info("everything is known")
        self._may_write.clear()
        self._turn.set()

    def _leading_changed(self, leads: bool) -> None:
        self._leads = leads
        self._metrics.standby = self._tracing.standby = not leads
        if leads:
            self._metrics.took_over()
            self._tracing.took_over()
        self._has_ledger = False
        self._may_write.clear()
        self._turn.set()

    async def _open_or_close(self) -> None:
        """Workers write only while this operator leads, knows everything, and has read its ledger."""
        while True:
            await self._turn.wait()
            self._turn.clear()
            if not (self._leads and self._state.complete):
                continue
            if self._has_ledger:
                # Everything was read anew in the middle of a term: the API server may have gone back in time, and
                # what this operator knows of its own policies is newer than what is stored.
                self._ledger.write_all()
                self._may_write.set()
                continue
            try:
                await self._seal.load(self._api, self._settings.namespace)
                found = await self._ledger.load()
            except ApiError as error:
                logger.warning("the ledger was not read, trying again: %s", error)
                await asyncio.sleep(LEDGER_PAUSE)
                self._turn.set()
                continue
            if not self._state.complete:
                continue
            if not found:
                self._reconciler.enter_what_is_there()
            self._ledger.keep_only(record.uid for record in self._state.namespaces.values())
            if self._leads:
                self._has_ledger = True
                self._may_write.set()

    async def _keep_ledger(self) -> None:
        """Before the lease is given back."""
        if self._leads:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITES):
                    await self._ledger.flush()

    async def _work(self, lowest: Priority) -> None:
        await self._controller.work(self._may_write, lowest)

    async def _kopf(self) -> None:
        """Until a signal. Kopf ends by itself where the API server cannot be reached; then it starts again."""
        while True:
            try:
                await kopf.operator(
                    registry=handlers.register(self._controller, self._credentials).process,
                    clusterwide=True,
                    standalone=True,
                )
                return
            except Exception as error:
                logger.warning("Kopf has ended (%s); starting it again", error)
                await asyncio.sleep(KOPF_PAUSE)
