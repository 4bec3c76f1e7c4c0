"""`/livez` and `/readyz` for the kubelet: 200, or 503 with what is wrong; what that is, `health` knows. And /metrics.

A standby that waits for the lease is live and ready as well: its caches are warm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from tenantprofile.cluster.serving import Check, PageServer, metrics_page, probe_page
from tenantprofile.controller.scrape_access import ScrapeAccess, ServingCertificate


class ProbeServer:
    """Serves the checks on one port; port 0 serves nothing."""

    def __init__(self, port: int, *, live: Iterable[Check], ready: Iterable[Check]) -> None:
        self._server = PageServer(port)
        self._pages = {"/livez": probe_page(live), "/readyz": probe_page(ready)}

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        await self._server.start(self._pages)

    async def stop(self) -> None:
        await self._server.stop()


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
        self._server = PageServer(port)
        self._page = metrics_page(registry)
        self._files = (cert, key)
        self._access = access
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError where the port is taken, or the certificate cannot be read."""
        if not self._server.port:
            return
        cert, key = self._files
        context = None
        if cert is not None:
            certificate = await asyncio.to_thread(ServingCertificate, cert, key or cert)
            context = certificate.context
            self._following = asyncio.create_task(certificate.follow())
        await self._server.start({"/metrics": self._metrics}, context)

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
        await self._server.stop()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        if self._access is not None:
            status = await self._access.check(request.headers.get("Authorization", ""), request.path)
            if status != 200:
                headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
                return web.Response(status=status, text=_REFUSALS[status], headers=headers)
        return await self._page(request)


_REFUSALS: Final = {
    401: "Unauthorized: a valid bearer token is needed\n",
    403: "Forbidden: needs the right to get the nonResourceURL /metrics\n",
    503: "The API server cannot be asked whether this token is valid\n",
}
