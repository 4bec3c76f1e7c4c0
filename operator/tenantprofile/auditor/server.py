"""HTTP of the continuous audit: probes on one port, metrics, report and picture on another."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Servers:
    """Ports that are 0 are not served. With a certificate and its key, all but the probes over TLS."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    async def probes(self, port: int, problem: Callable[[], str | None]) -> None:
        """Serve /healthz and /readyz, which says what is wrong. Raises OSError where the port is taken."""

        async def alive(_: web.Request) -> web.StreamResponse:
            return web.Response(text="ok\n")

        async def ready(_: web.Request) -> web.StreamResponse:
            wrong = problem()
            return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)

        await self._serve(port, {"/healthz": alive, "/livez": alive, "/readyz": ready}, None)

    async def pages(
        self,
        port: int,
        registry: CollectorRegistry,
        pages: dict[str, Page],
        cert: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """Serve /metrics and these pages. Raises OSError where the port is taken, or the certificate is unreadable."""

        async def metrics(request: web.Request) -> web.StreamResponse:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
            return web.Response(body=encode(registry), headers={"Content-Type": content_type})

        context = None
        if cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(cert, key)
        await self._serve(port, {"/metrics": metrics, **pages}, context)

    async def _serve(self, port: int, pages: dict[str, Page], context: ssl.SSLContext | None) -> None:
        if not port:
            return
        app = web.Application()
        for path, page in pages.items():
            app.router.add_get(path, page)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, None, port, ssl_context=context).start()

    async def stop(self) -> None:
        """Close everything that was opened."""
        for runner in self._runners:
            await runner.cleanup()
