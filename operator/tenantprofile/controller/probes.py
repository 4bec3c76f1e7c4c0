"""`/livez` and `/readyz` for the kubelet: 200, or 503 with what is wrong; what that is, `health` knows. And /metrics.

A standby that waits for the lease is live and ready as well: its caches are warm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from tenantprofile.controller.scrape_access import ScrapeAccess, ServingCertificate

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
    """Serves /metrics on a port of its own; port 0 serves nothing.

    With a certificate over TLS; with `access`, only to who may `get` the path by the cluster's RBAC.
    """

    def __init__(
        self,
        port: int,
        registry: CollectorRegistry,
        cert: Path | None = None,
        key: Path | None = None,
        *,
        access: ScrapeAccess | None = None,
    ) -> None:
        self._port = port
        self._registry = registry
        self._files = (cert, key)
        self._access = access
        self._runner: web.AppRunner | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError where the port is taken, or the certificate cannot be read."""
        if not self._port:
            return
        cert, key = self._files
        context = None
        if cert is not None:
            certificate = await asyncio.to_thread(ServingCertificate, cert, key or cert)
            context = certificate.context
            self._following = asyncio.create_task(certificate.follow())
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self._port, ssl_context=context).start()

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        if self._access is not None:
            status = await self._access.check(request.headers.get("Authorization", ""), request.path)
            if status != 200:
                headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
                return web.Response(status=status, text=_REFUSALS[status], headers=headers)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


_REFUSALS: Final = {
    401: "Unauthorized: a valid bearer token is needed\n",
    403: "Forbidden: needs the right to get the nonResourceURL /metrics\n",
    503: "The API server cannot be asked whether this token is valid\n",
}


def _answer(checks: list[Check]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_: web.Request) -> web.StreamResponse:
        wrong = [problem for problem in (check() for check in checks) if problem]
        return web.Response(text="\n".join(wrong or ["ok"]) + "\n", status=503 if wrong else 200)

    return handler
