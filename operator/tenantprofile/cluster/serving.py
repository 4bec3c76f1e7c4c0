"""HTTP that a process serves itself: probes for the kubelet, metrics for Prometheus, pages for people."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Check = Callable[[], str | None]
"""None when all is well; otherwise what is wrong, in plain words."""
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer:
    """Serves pages by their path on one port, on all addresses; port 0 serves nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._runner: web.AppRunner | None = None

    async def start(self, pages: Mapping[str, Page], context: ssl.SSLContext | None = None) -> None:
        """Serve them, over TLS with a `context`. Raises OSError where the port is taken."""
        if not self.port:
            return
        app = web.Application()
        for path, page in pages.items():
            app.router.add_get(path, page)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self.port, ssl_context=context).start()

    async def stop(self) -> None:
        """Close it."""
        if self._runner is not None:
            await self._runner.cleanup()


def probe_page(checks: Iterable[Check]) -> Page:
    """200 where every check is content, otherwise 503 with what is wrong, a line each."""
    checks = list(checks)

    async def page(_: web.Request) -> web.StreamResponse:
        wrong = [problem for problem in (check() for check in checks) if problem]
        return web.Response(text="\n".join(wrong or ["ok"]) + "\n", status=503 if wrong else 200)

    return page


def metrics_page(registry: CollectorRegistry) -> Page:
    """What a registry holds, in the form that the request asks for."""

    async def page(request: web.Request) -> web.StreamResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return page
