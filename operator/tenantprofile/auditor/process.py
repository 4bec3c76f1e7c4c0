"""`tenantprofile audit --serve`: follows a cluster, judges it in rounds, and tells. It writes nothing.

Rounds and pages are worked out in threads, so that probes are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import signal
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tenantprofile import settings as limits
from tenantprofile.analysis.evidence import Circumstances
from tenantprofile.analysis.following import VERSIONS, Following, Found, Kind
from tenantprofile.auditor.metrics import Metrics, Present
from tenantprofile.auditor.pages import Inputs, picture, report, report_text
from tenantprofile.cluster.api import Api
from tenantprofile.cluster.credentials import Credentials
from tenantprofile.cluster.informer import Informer
from tenantprofile.cluster.serving import Page, PageServer, metrics_page, probe_page
from tenantprofile.cluster.store import Key, Store
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS
from tenantprofile.connectivity.settings import Settings as Semantics
from tenantprofile.drawing.topology import TooLargeError

logger = logging.getLogger(__name__)

PLURALS: Final[dict[Kind, str]] = {
    "Namespace": "namespaces",
    "Pod": "pods",
    "Service": "services",
    "NetworkPolicy": "networkpolicies",
    "TenantProfile": "tenantprofiles",
    "PolicyTemplate": "policytemplates",
}
SHARE: Final = 4
"""A round is followed by a pause of so many times its length, so that it takes a fifth of a processor at most."""
SETTLE: Final = 0.2
"""Seconds between a change and its round: changes come in groups."""

LONGEST_PAUSE: Final = 600.0
"""Seconds between rounds where nothing changes: the waivers of lint end by the calendar."""
KEPT_PICTURES: Final = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How the audit runs; each field is a flag of `tenantprofile audit --serve`, which documents it."""

    kubeconfig: Path | None = None
    context: str | None = None
    operator_namespace: str = "tenantprofile-system"
    excluded: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    semantics: Semantics = DEFAULT_SETTINGS
    round_interval: float = 10.0
    probe_port: int = 8080
    metrics_port: int = 9090
    metrics_cert: Path | None = None
    metrics_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """What a round found, and when its state was the present: by the wall, and by the clock."""

    found: Found
    time: str
    at: float


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises CredentialsError and OSError (a port that is taken)."""
    credentials = await Credentials.load(settings.kubeconfig, settings.context)
    async with Api(credentials, connections=len(VERSIONS) + 2) as api:
        await _Auditor(settings, api, credentials.server).run()


class _Auditor:
    def __init__(self, settings: Settings, api: Api, cluster: str) -> None:
        self._settings = settings
        self._cluster = cluster
        self._clock = time.monotonic
        self._following = Following(
            excluded=settings.excluded,
            system=settings.system,
            settings=settings.semantics,
            operator_namespace=settings.operator_namespace,
        )
        self._informers = {PLURALS[kind]: self._informer(api, kind) for kind in VERSIONS}
        self._metrics = Metrics()
        self._round: Round | None = None
        self._failure = ""
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._kept: dict[tuple[str, ...], tuple[Round, str]] = {}
        self._drawing = asyncio.Lock()

    def _informer(self, api: Api, kind: Kind) -> Informer[Any]:
        def changed(key: Key, _: Any, after: Any | None) -> None:
            if after is None:
                self._following.remove(kind, *key)
            else:
                self._following.put(kind, *key, after[0])
            self._dirty.set()

        # In a tuple: a store holds no None, which stands for a finished pod.
        store: Store[Any] = Store(lambda raw: (self._following.read(kind, raw),))
        version = VERSIONS[kind]
        path = f"/{'apis' if '/' in version else 'api'}/{version}/{PLURALS[kind]}"
        own = kind in ("TenantProfile", "PolicyTemplate")
        return Informer(api, path, store, changed, self._clock, nesting=limits.MAX_NESTING if own else None)

    async def run(self) -> None:
        settings = self._settings
        probes, server = PageServer(settings.probe_port), PageServer(settings.metrics_port)
        self._metrics.registry.register(self._present())
        pages: dict[str, Page] = {
            "/metrics": metrics_page(self._metrics.registry),
            "/report.json": self._page("json", "application/json"),
            "/report.md": self._page("md", "text/markdown"),
            "/": self._picture,
        }
        alive = probe_page(())
        context = None
        if settings.metrics_cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(settings.metrics_cert, settings.metrics_key)
        try:
            await probes.start({"/healthz": alive, "/livez": alive, "/readyz": probe_page([self._problem])})
            await server.start(pages, context)
            await self._until_a_signal(
                *(informer.run() for informer in self._informers.values()), self._rounds()
            )
        finally:
            await probes.stop()
            await server.stop()

    async def _until_a_signal(self, *work: Coroutine[Any, Any, None]) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, ended.set)
        running = [asyncio.create_task(one) for one in (*work, _wait(ended))]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    # --- rounds ---

    async def _rounds(self) -> None:
        """One when something has changed, and none while an input has not been read whole."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), LONGEST_PAUSE)
            await asyncio.sleep(SETTLE)
            for informer in self._informers.values():
                await informer.synced.wait()
            self._dirty.clear()
            took = await self._one()
            await asyncio.sleep(max(self._settings.round_interval, SHARE * took))

    async def _one(self) -> float:
        begun = self._clock()
        snapshot = self._following.snapshot()
        now = datetime.now(UTC)
        try:
            found = await asyncio.to_thread(self._following.judge, snapshot, now.date().isoformat())
        except Exception as error:
            self._failure = f"the last round failed: {error}"
            self._metrics.failures.inc()
            self._dirty.set()
            logger.exception("a round failed")
        else:
            self._failure = ""
            self._round = Round(found, now.strftime("%Y-%m-%dT%H:%M:%SZ"), begun)
        took = self._clock() - begun
        self._metrics.rounds.observe(took)
        return took

    # --- what is known ---

    def _problems(self) -> dict[str, str]:
        found = {}
        for kind, informer in self._informers.items():
            silence = informer.clock_since_contact()
            problem = informer.problem()
            if problem is None and silence > limits.STALE:
                problem = f"nothing heard on the watch on {kind} for {silence:.0f} s"
            if problem is not None:
                found[kind] = problem
        return found

    def _inputs(self) -> Inputs:
        return Inputs(
            {kind: informer.clock_since_contact() for kind, informer in self._informers.items()},
            self._problems(),
            {kind: len(informer.store.undecodable) for kind, informer in self._informers.items()},
            (self._failure,) if self._failure else (),
        )

    def _problem(self) -> str | None:
        """Why nobody should rely on what is served."""
        inputs = self._inputs()
        found = [*inputs.problems.values(), *inputs.others]
        if not found and self._round is None:
            found = ["the first round has not ended"]
        return "\n".join(found) or None

    def _present(self) -> Present:
        def each(ask: Callable[[str], Any]) -> dict[str, Callable[[], Any]]:
            return {kind: functools.partial(ask, kind) for kind in self._informers}

        return Present(
            found=lambda: self._round.found if self._round else None,
            ages=each(lambda kind: self._informers[kind].clock_since_contact()),
            blind=each(lambda kind: self._problems().get(kind)),
            unreadable=each(lambda kind: len(self._informers[kind].store.undecodable)),
            report_age=lambda: (
                self._clock() - self._round.at if self._round and self._dirty.is_set() else 0.0
            ),
            complete=lambda: self._problem() is None,
        )

    # --- pages ---

    def _page(self, form: str, content_type: str) -> Page:
        async def answer(_: web.Request) -> web.StreamResponse:
            made = self._round
            if made is None:
                return _not_yet(self._problem())
            inputs = self._inputs()
            text = await asyncio.to_thread(self._report, made, inputs, form)
            return web.Response(text=text, content_type=content_type, charset="utf-8")

        return answer

    def _report(self, made: Round, inputs: Inputs, form: str) -> str:
        notes = (*made.found.assembly.notes, *made.found.assembly.violations())
        data = report(made.found, Circumstances(made.time, self._cluster, notes=notes), inputs)
        return report_text(data) if form == "md" else json.dumps(data, ensure_ascii=False) + "\n"

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        made = self._round
        if made is None:
            return _not_yet(self._problem())
        wanted = tuple(sorted(set(request.query.getall("namespace", []))))
        key = ("stale" if self._problem() else "", *wanted)
        async with self._drawing:  # one at a time: each takes a processor
            made = self._round or made
            kept, text = self._kept.get(key, (None, ""))
            if kept is not made:
                try:
                    text = await asyncio.to_thread(
                        picture, made.found, self._settings.semantics, wanted, stale=bool(key[0])
                    )
                except TooLargeError as error:
                    return web.Response(text=f"{error}; ask for /?namespace=NAME\n", status=422)
                self._kept = {k: v for k, v in self._kept.items() if v[0] is made}
                if len(self._kept) < KEPT_PICTURES:
                    self._kept[key] = made, text
        return web.Response(text=text, content_type="text/html", charset="utf-8")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _not_yet(problem: str | None) -> web.StreamResponse:
    return web.Response(
        text=f"there is no report yet: {problem or 'the first round has not ended'}\n", status=503
    )
