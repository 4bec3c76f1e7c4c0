"""A small typed client for the few calls that the operator makes by the thousand.

One aiohttp session with a bounded number of connections. `Retry-After` is obeyed for all writes at
once: when the API server asks one caller to wait, the others are part of the reason. Nothing is
retried here; whoever called knows whether the call still makes sense (the queue backs off per key).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from tenantprofile.cluster.credentials import Credentials
from tenantprofile.names import API_VERSION, FIELD_MANAGER

Object = dict[str, Any]

POLICIES: Final = "/apis/networking.k8s.io/v1/networkpolicies"
NAMESPACES: Final = "/api/v1/namespaces"
PROFILES: Final = f"/apis/{API_VERSION}/tenantprofiles"
TEMPLATES: Final = f"/apis/{API_VERSION}/policytemplates"

PAGE: Final = 500
"""Objects per page of a list: what client-go's reflector asks for as well."""
WAY_GIVEN: Final = 1.0
"""Seconds after urgent work in which a fan-out still keeps back: where one namespace is new, more often are."""
MISSING_NAMESPACE_WAIT: Final = 0.05
"""Seconds that an API server holds a create in a namespace of which its own cache has not heard yet (admission
plugin NamespaceLifecycle, missingNamespaceWait)."""
HEDGES: Final = 10
"""The most creates sent twice at a time: two new namespaces' worth, and nothing that an API server notices."""
LONGEST_PAUSE: Final = 60.0
"""Seconds; a longer Retry-After is cut to this, so that a wrong header cannot stop the operator."""


def policies_in(namespace: str) -> str:
    """The path of a namespace's NetworkPolicies."""
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"


class ApiError(Exception):
    """The API server refused, or could not be reached (status 0)."""

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after: float | None = None, body: Any = None
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.body = body

    @property
    def is_quota(self) -> bool:
        """Refused by a ResourceQuota (Kubernetes documentation, Resource Quotas)."""
        return self.status == 403 and "exceeded quota" in self.message

    @property
    def namespace_is_going(self) -> bool:
        """A namespace that is gone or terminating takes no more objects: nothing is left to do there."""
        details = (self.body or {}).get("details") or {}
        if self.status == 404:
            return bool(details.get("kind") == "namespaces")
        causes = details.get("causes") or []
        return self.status == 403 and any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class Gone(Exception):
    """410: the resource version is too old to watch from; the list must be read again."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `resource_version` is the same on every page and is where a watch begins."""

    items: list[Object]
    resource_version: str
    remaining: int


_background: ContextVar[bool] = ContextVar("background", default=False)


class Api:
    """Requests to one API server under one identity.

    Three quarters of the connections are for background writes (fan-outs), and a twelfth while there is urgent
    work. Beyond what saturates an API server, more writes at once make none of them faster, and a new namespace's
    policies wait behind all that are under way.
    """

    def __init__(self, credentials: Credentials, *, connections: int = 40) -> None:
        self._credentials = credentials
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._most_in_background = max(1, connections * 3 // 4)
        self._background_slots = asyncio.Semaphore(self._most_in_background)
        self._slots_left_by_urgent = asyncio.Semaphore(max(1, connections // 12))
        self._urgent = 0
        self._last_urgent = float("-inf")
        self._hedges = 0
        self._usual = MISSING_NAMESPACE_WAIT
        self._writable = asyncio.Event()
        self._writable.set()
        self.writes = 0
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write but those that do not wait (the lease): whether it is still ours to make."""

    async def __aenter__(self) -> Self:
        context = self._credentials.ssl_context()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # A few more than the writers: watches hold theirs for long.
                limit=self._connections + 8,
                ssl=context if context is not None else True,
                keepalive_timeout=60,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=60, sock_connect=10),
            headers={"Accept": "application/json", "User-Agent": FIELD_MANAGER},
            # Bodies are compressed by the API server above 128 kB, which costs more than it saves nearby.
            auto_decompress=True,
            skip_auto_headers=("Accept-Encoding",),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def in_background(self) -> bool:
        """Whether what runs now gives way to others."""
        return _background.get()

    @contextmanager
    def lane(self, *, background: bool) -> Iterator[None]:
        """Writes within, and in tasks started within, give way to others, or others to them."""
        token = _background.set(background)
        if not background:
            self._urgent += 1
        try:
            yield
        finally:
            _background.reset(token)
            if not background:
                self._urgent -= 1
                self._last_urgent = time.monotonic()

    async def open_connections(self, writers: int) -> None:
        """Open what a fan-out of so many writers uses, so that its first writes wait for no handshakes.

        What goes wrong here goes wrong again, and is told, where a connection is needed.
        """
        count = min(writers, self._most_in_background)
        requests = (self._request("GET", "/version") for _ in range(count))
        await asyncio.gather(*requests, return_exceptions=True)

    # --- reads ---

    async def get(self, path: str) -> Object:
        """One object. Raises ApiError."""
        return await self._request("GET", path)

    async def pages(self, path: str, *, selector: str | None = None) -> AsyncIterator[Page]:
        """A list in pages of 500. Raises ApiError; Gone when the continue token has expired."""
        params = {"limit": str(PAGE)}
        if selector:
            params["labelSelector"] = selector
        while True:
            try:
                answer = await self._request("GET", path, params=params)
            except ApiError as error:
                if error.status == 410:
                    raise Gone from error
                raise
            meta = answer.get("metadata") or {}
            yield Page(
                answer.get("items") or [],
                str(meta.get("resourceVersion", "")),
                int(meta.get("remainingItemCount") or 0),
            )
            if not meta.get("continue"):
                return
            params["continue"] = meta["continue"]

    async def watch(
        self, path: str, resource_version: str, *, selector: str | None = None, silence: float = 90.0
    ) -> AsyncIterator[Object]:
        """Watch events, bookmarks included, until the server ends the stream.

        `silence`: seconds without a byte after which the stream counts as dead; the server sends a
        bookmark about once a minute. Raises Gone and ApiError.
        """
        params = {
            "watch": "1",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "290",
        }
        if selector:
            params["labelSelector"] = selector
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=silence)
        try:
            async with self._open.get(
                self._url(path), params=params, headers=await self._headers(), timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise await self._refusal(response)
                async for line in _lines(response.content):
                    event: Object = orjson.loads(line)
                    if event.get("type") == "ERROR":
                        status = event.get("object") or {}
                        if status.get("code") == 410:
                            raise Gone
                        raise ApiError(
                            int(status.get("code") or 500),
                            str(status.get("reason", "")),
                            str(status.get("message", "")),
                        )
                    yield event
        except ApiError as error:
            if error.status == 410:
                raise Gone from error
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"watch of {path} broke: {error!r}") from error

    # --- writes ---

    async def create(self, path: str, body: bytes | Mapping[str, Any], *, held_back: bool = True) -> Object:
        """POST. Raises ApiError (409 AlreadyExists). `held_back`: waits where a Retry-After says so."""
        return await self._write("POST", path, body, held_back=held_back)

    async def create_soon(self, path: str, body: bytes) -> Object:
        """POST of an object with a fixed name; where the answer is unusually late, a second one beside it.

        A new namespace's first writes may get there a millisecond before the API server's own cache has heard of
        it, and are then held for 50 ms; a second one is answered at once, and the first then finds the object
        there. Raises ApiError.
        """
        if _background.get():
            return await self.create(path, body)
        begun = time.monotonic()
        posts = [asyncio.ensure_future(self.create(path, body))]
        try:
            if await self._is_late(posts[0]):
                self._hedges += 1
                try:
                    posts.append(asyncio.ensure_future(self.create(path, body)))
                    answer = await _first_answer(posts)
                finally:
                    self._hedges -= 1
            else:
                answer = await posts[0]
        except asyncio.CancelledError:
            for post in posts:
                post.cancel()
            raise
        self._usual += (time.monotonic() - begun - self._usual) / 10
        return answer

    async def _is_late(self, post: asyncio.Future[Object]) -> bool:
        """Whether a create takes so much longer than usual that a second one may be quicker."""
        patience = 2 * self._usual
        if patience >= MISSING_NAMESPACE_WAIT:
            return False
        done, _ = await asyncio.wait((post,), timeout=patience)
        # Held back by a Retry-After, or many at once: more requests would make it worse.
        return not done and self._writable.is_set() and self._hedges < HEDGES

    async def replace(self, path: str, body: bytes | Mapping[str, Any], *, held_back: bool = True) -> Object:
        """PUT of the whole object; the body carries the resourceVersion that it is based on."""
        return await self._write("PUT", path, body, held_back=held_back)

    async def merge(self, path: str, body: Mapping[str, Any]) -> Object:
        """PATCH with a JSON merge patch (RFC 7386)."""
        return await self._write("PATCH", path, body, content_type="application/merge-patch+json")

    async def delete(self, path: str, *, uid: str, resource_version: str) -> Object:
        """DELETE of exactly the object that was seen: another one, or a changed one, answers 409.

        The answer is a Status, or the object where finalizers keep it.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        return await self._write("DELETE", path, options)

    async def _write(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any],
        *,
        content_type: str = "application/json",
        held_back: bool = True,
    ) -> Object:
        if not _background.get():
            return await self._send(method, path, body, content_type, held_back)
        async with (
            self._background_slots,
            # Looked at with a slot in hand: urgent work may have come while waiting for it.
            self._slots_left_by_urgent if self._is_urgent() else nullcontext(),
        ):
            return await self._send(method, path, body, content_type, held_back)

    def _is_urgent(self) -> bool:
        return self._urgent > 0 or time.monotonic() < self._last_urgent + WAY_GIVEN

    async def _send(
        self, method: str, path: str, body: bytes | Mapping[str, Any], content_type: str, held_back: bool
    ) -> Object:
        if held_back:
            await self._writable.wait()
            if not self.may_write():
                raise ApiError(0, "NotLeading", f"{method} {path}: not sent, the lease is not held any more")
        self.writes += 1
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        target = path if method == "DELETE" else f"{path}?fieldManager={FIELD_MANAGER}"
        try:
            return await self._request(method, target, data=data, content_type=content_type)
        except ApiError as error:
            if error.retry_after is not None:
                self._pause(error.retry_after)
            raise

    def _pause(self, seconds: float) -> None:
        """Hold every write back; readers go on."""
        if self._writable.is_set():
            self._writable.clear()
            asyncio.get_running_loop().call_later(min(seconds, LONGEST_PAUSE), self._writable.set)

    # --- the wire ---

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is used as a context manager")
        return self._session

    def _url(self, path: str) -> URL:
        """Paths are made of names that need no quoting (RFC 1123 labels and subdomains)."""
        return URL(f"{self._credentials.server}{path}", encoded=True)

    async def _headers(self) -> dict[str, str]:
        authorization = await self._credentials.authorization()
        return {"Authorization": authorization} if authorization else {}

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str | None = None,
    ) -> Object:
        headers = await self._headers()
        if content_type is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._open.request(
                method, self._url(path), params=params, data=data, headers=headers
            ) as response:
                if response.status >= 400:
                    raise await self._refusal(response)
                answer: Object = orjson.loads(await response.read())
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {error!r}") from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> ApiError:
        raw = await response.read()
        try:
            body = orjson.loads(raw)
        except ValueError:
            # A proxy in front of the API server answers in its own words.
            body = {"message": raw[:200].decode(errors="replace")}
        if response.status == 401:
            await self._credentials.renew()
        retry_after = response.headers.get("Retry-After", "")
        return ApiError(
            response.status,
            str(body.get("reason") or response.reason or ""),
            str(body.get("message", "")),
            retry_after=float(retry_after) if retry_after.isdigit() else None,
            body=body,
        )


async def _first_answer(posts: Iterable[asyncio.Future[Object]]) -> Object:
    """The first that succeeds; the others end when they end. Raises ApiError, the last, when all fail."""
    refusals: list[ApiError] = []
    pending = set(posts)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for post in done:
            error = post.exception()
            if error is None:
                for late in pending:
                    late.add_done_callback(_look_away)
                return post.result()
            if not isinstance(error, ApiError):
                raise error
            refusals.append(error)
    raise refusals[-1]


def _look_away(post: asyncio.Future[Object]) -> None:
    """Nobody waits for it any more; its exception was seen."""
    if not post.cancelled():
        post.exception()


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own iterator refuses those over 128 kB."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
