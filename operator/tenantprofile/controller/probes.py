"""`/livez` and `/readyz` for the kubelet: 200, or 503 with what is wrong; what that is, `health` knows.

A standby that waits for the lease is live and ready as well: its caches are warm.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Check = Callable[[], str | None]
"""None when all is well; otherwise what is wrong, in plain words."""


class ProbeServer:
    """Serves the checks on one port; port 0 serves nothing."""

    def __init__(self, port: int, *, live: Iterable[Check], ready: Iterable[Check]) -> None:
        self._port = port
        self._checks = {"/livez": list(live), "/readyz": list(ready)}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        if not self._port:
            return
        app = web.Application()
        for path, checks in self._checks.items():
            app.router.add_get(path, _answer(checks))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        # All addresses: the kubelet asks on the pod's.
        await web.TCPSite(self._runner, None, self._port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


class MetricsServer:
    """Serves /metrics on a port of its own; port 0 serves nothing. With a certificate and its key, over TLS."""

    def __init__(
        self, port: int, registry: CollectorRegistry, cert: Path | None = None, key: Path | None = None
    ):
        self._port = port
        self._registry = registry
        self._files = (cert, key)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Raises OSError where the port is taken, or the certificate cannot be read."""
        if not self._port:
            return
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        cert, key = self._files
        context = None
        if cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(cert, key)
        await web.TCPSite(self._runner, None, self._port, ssl_context=context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


def _answer(checks: list[Check]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_: web.Request) -> web.StreamResponse:
        wrong = [problem for problem in (check() for check in checks) if problem]
        return web.Response(text="\n".join(wrong or ["ok"]) + "\n", status=503 if wrong else 200)

    return handler
