"""The bare client: requests over kept-alive connections, as many at once as there are connections.

It sends bytes and reads bytes. What it reaches is the floor that nothing built on the same API server and
the same HTTP library gets under.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

USER_AGENT: Final = "benchmark"
MERGE: Final = "application/merge-patch+json"
_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')


class Refused(RuntimeError):
    """The API server said no."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    data: bytes | None = None
    content_type: str = "application/json"
    manager: str = "tenantprofile-operator"
    """The field manager; that of the operator where its writes are imitated."""


class Wire:
    """One identity and a number of connections."""

    def __init__(self, kubeconfig: Path, connections: int) -> None:
        content = json.loads(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self._server = cluster["server"]
        self._token = user["token"]
        self._tls = tls(cluster)
        self.connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._server,
            connector=aiohttp.TCPConnector(limit=self.connections, ssl=self._tls, keepalive_timeout=60),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/json",
                "User-Agent": USER_AGENT,
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request) -> bytes:
        """One request; its answer. Raises Refused."""
        assert self._session is not None
        async with self._session.request(
            request.method,
            request.path,
            params={"fieldManager": request.manager} if request.data is not None else None,
            data=request.data,
            headers={"Content-Type": request.content_type},
        ) as response:
            answer = await response.read()
            if response.status >= 400:
                raise Refused(f"{request.method} {request.path}: {response.status} {answer[:300]!r}")
            return answer

    async def send_all(self, requests: Iterable[Request]) -> list[bytes]:
        """All requests, as many at once as there are connections; the answers in the same order."""
        waiting = list(enumerate(requests))[::-1]
        answers: list[bytes] = [b""] * len(waiting)

        async def worker() -> None:
            while waiting:
                index, request = waiting.pop()
                answers[index] = await self.send(request)

        await asyncio.gather(*(worker() for _ in range(self.connections)))
        return answers


def version_in(answer: bytes) -> str:
    """The resourceVersion in an object as it came over the wire."""
    found = _VERSION.search(answer)
    assert found is not None
    return found[1].decode()


def tls(cluster: dict[str, str]) -> ssl.SSLContext:
    """Trust in a kubeconfig's cluster."""
    import base64

    data = cluster.get("certificate-authority-data")
    return ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=base64.b64decode(data).decode() if data else None,
    )
