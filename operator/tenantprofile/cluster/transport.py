"""Bytes to and from the API server: the one seam between the operator's client and the network.

`Transport` is what `cluster.api.Api` needs, and what a model of the API server implements in tests. `AiohttpTransport`
is the real one. It has two sessions, so that the lease (`control=True`) never waits for a connection that data
traffic holds. A session lives as long as its TLS material: when the credentials change, the next request opens a new
one, and the old one closes when its last request has ended.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
from yarl import URL

from tenantprofile.cluster.credentials import Credentials, Identity
from tenantprofile.cluster.words import why_unreachable
from tenantprofile.names import FIELD_MANAGER

CONNECT: Final = 10.0
"""Seconds for a connection to be made: a few retransmissions of its first packet."""
KEEPALIVE: Final = 60.0
"""Seconds that an idle connection is kept: less than load balancers in front of API servers allow."""
MAX_ANSWER: Final = 12_000_000
"""Bytes of one answer. etcd takes 1.5 MiB for one object, which is 9 MB of JSON at worst; a page of 500 policies
is about 4 MB. Parsed it takes several times as much memory."""


class TransportError(Exception):
    """There is no answer; the message says why. Whether the request took effect is unknown.

    why: the message without the request, for whoever asked for something larger.
    """

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why or message


class AnswerTooLargeError(TransportError):
    """The answer has more than MAX_ANSWER bytes; it was not read to its end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Names of headers may be written in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(Protocol):
    """An answer that is read as it comes: a watch or a log."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """All of it: the body of a refusal. Raises TransportError."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks as they come, cut anywhere. Raises TransportError when the connection breaks or falls silent."""


class Transport(Protocol):
    """Sends requests; `path` includes the query string."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 (also for what is not written with asyncio)
        control: bool = False,
    ) -> Answer:
        """Raises TransportError when there is no answer within `timeout` seconds, or at all.

        `control`: over a connection that data traffic never uses.
        """

    def stream(
        self, path: str, *, headers: Mapping[str, str], silence: float
    ) -> AbstractAsyncContextManager[Stream]:
        """GET. Raises TransportError. After `silence` seconds without a byte the stream counts as broken."""


class AiohttpTransport:
    """Requests under one identity. It retries only what was refused for credentials that have been renewed since."""

    def __init__(self, credentials: Credentials, *, connections: int = 0) -> None:
        """`connections`: the most at a time for data, 0 for any number; watches come on top."""
        self._credentials = credentials
        self._limits = {False: connections + 8 if connections else 0, True: 2}
        self._sessions: dict[bool, _Session] = {}

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 (also for what is not written with asyncio)
        control: bool = False,
    ) -> Answer:
        """See Transport."""
        try:
            async with asyncio.timeout(timeout):
                answer, identity = await self._answer(method, path, body, headers, control)
                if answer.status == 401 and await self._credentials.renew(identity):
                    answer, _ = await self._answer(method, path, body, headers, control)
                return answer
        except TimeoutError as error:
            why = f"{self._credentials.server} did not answer within {timeout:.0f} s"
            raise TransportError(f"{method} {path}: no answer within {timeout:.0f} s", why) from error

    async def _answer(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], control: bool
    ) -> tuple[Answer, Identity]:
        identity = await self._credentials.current()
        try:
            with self._session(identity, control).used() as session:
                async with session.request(
                    method, _url(identity, path), data=body, headers=_with(headers, identity)
                ) as response:
                    return Answer(response.status, response.headers, await _read(response)), identity
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if _concerns_certificates(error):
                # For the next attempt; this one has had its time.
                await self._credentials.renew(identity)
            why = why_unreachable(error, identity.server)
            raise TransportError(f"{method} {path}: {why}", why) from error

    @asynccontextmanager
    async def stream(self, path: str, *, headers: Mapping[str, str], silence: float) -> AsyncIterator[Stream]:
        """See Transport."""
        identity = await self._credentials.current()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=silence)
        try:
            with self._session(identity, False).used() as session:
                async with session.get(
                    _url(identity, path), headers=_with(headers, identity), timeout=timeout
                ) as response:
                    if response.status == 401:
                        await self._credentials.renew(identity)
                    yield _AiohttpStream(response)
        except (aiohttp.ClientError, OSError) as error:
            if _concerns_certificates(error):
                await self._credentials.renew(identity)
            why = why_unreachable(error, identity.server)
            raise TransportError(f"GET {path}: {why}", why) from error

    def _session(self, identity: Identity, control: bool) -> _Session:
        known = self._sessions.get(control)
        if known is None or known.context is not identity.tls:
            if known is not None:
                known.retire()
            known = self._sessions[control] = _Session(identity.tls, self._limits[control])
        return known

    async def close(self) -> None:
        """Close all connections."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.client.close()


class _Session:
    """An aiohttp session for one TLS context."""

    def __init__(self, context: ssl.SSLContext | None, limit: int) -> None:
        self.context = context
        self._in_use = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limit, ssl=context if context is not None else True, keepalive_timeout=KEEPALIVE
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            headers={"User-Agent": FIELD_MANAGER},
            # The API server compresses bodies above 128 kB, which costs more than it saves nearby.
            skip_auto_headers=("Accept-Encoding",),
        )

    @contextmanager
    def used(self) -> Iterator[aiohttp.ClientSession]:
        self._in_use += 1
        try:
            yield self.client
        finally:
            self._in_use -= 1
            self._close_if_done()

    def retire(self) -> None:
        """Close when nobody uses it any more."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._in_use and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.client.close())


class _AiohttpStream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        return await _read(self._response)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.content.iter_any():
            yield chunk


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or MAX_ANSWER + 1) <= MAX_ANSWER:
        return await response.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER:
            response.close()
            raise AnswerTooLargeError(f"{response.method} {response.url.path}: more than {MAX_ANSWER} bytes")
    return b"".join(chunks)


def _url(identity: Identity, path: str) -> URL:
    """Paths are made of names that need no quoting (RFC 1123 labels and subdomains)."""
    return URL(f"{identity.server}{path}", encoded=True)


def _with(headers: Mapping[str, str], identity: Identity) -> dict[str, str]:
    return {**headers, "Authorization": identity.authorization} if identity.authorization else {**headers}


def _concerns_certificates(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ssl.SSLError, aiohttp.ClientSSLError)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
