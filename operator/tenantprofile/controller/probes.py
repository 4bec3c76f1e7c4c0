"""`/livez` and `/readyz` for the kubelet: 200, or 503 with what is wrong; what that is, `health` knows.

A standby that waits for the lease is live and ready as well: its caches are warm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

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


def _answer(checks: list[Check]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_: web.Request) -> web.StreamResponse:
        wrong = [problem for problem in (check() for check in checks) if problem]
        return web.Response(text="\n".join(wrong or ["ok"]) + "\n", status=503 if wrong else 200)

    return handler
