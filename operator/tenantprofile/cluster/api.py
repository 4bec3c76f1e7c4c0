"""A small typed client for the few calls that the operator makes by the thousand.

Nothing is retried here; whoever called knows whether the call still makes sense (the queue backs off per key). What
one caller's trouble may cost the others is bounded here: a Retry-After holds back the namespace that it came for, and
everything only where the API server's own flow control sends it; a write that hangs gives up its slot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode
from weakref import WeakValueDictionary

import orjson

from tenantprofile import settings
from tenantprofile.cluster import decode
from tenantprofile.cluster.credentials import Credentials
from tenantprofile.cluster.decode import Listed, Object, Undecodable
from tenantprofile.cluster.errors import ApiError, Concern, Gone, refusal, status_error
from tenantprofile.cluster.transport import (
    AiohttpTransport,
    Answer,
    AnswerTooLargeError,
    Transport,
    TransportError,
)
from tenantprofile.names import API_VERSION, FIELD_MANAGER
from tenantprofile.policy import protobuf
from tenantprofile.settings import HEDGES, MISSING_NAMESPACE_WAIT

__all__ = ["HEDGES", "Api", "ApiError", "Concern", "Gone", "Listed", "Object", "Undecodable", "policies_in"]

POLICIES: Final = "/apis/networking.k8s.io/v1/networkpolicies"
NAMESPACES: Final = "/api/v1/namespaces"
PROFILES: Final = f"/apis/{API_VERSION}/tenantprofiles"
TEMPLATES: Final = f"/apis/{API_VERSION}/policytemplates"

_JSON: Final = {"Accept": "application/json"}


def policies_in(namespace: str) -> str:
    """The path of a namespace's NetworkPolicies."""
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"


_background: ContextVar[bool | None] = ContextVar("background", default=None)
"""Whether what runs now gives way to others; None outside every lane: statuses, Events, the operator's own records,
which nobody waits for, and which go on for minutes beside a fan-out."""


class Api:
    """Requests to one API server under one identity.

    Three quarters of the connections are for background writes (fan-outs), and a twelfth while there are urgent
    ones. Beyond what saturates an API server, more writes at once make none of them faster, and a new namespace's
    policies wait behind all that are under way.
    """

    def __init__(self, way: Credentials | Transport, *, connections: int = 40) -> None:
        """`way`: credentials, for a connection of its own, or what stands in for the network in tests."""
        self._own = AiohttpTransport(way) if isinstance(way, Credentials) else None
        self._transport: Transport = way if not isinstance(way, Credentials) else self._own  # type: ignore[assignment]
        self._urgent_slots = _Slots(connections)
        self._most_in_background = max(1, connections * 3 // 4)
        self._background_slots = _Slots(self._most_in_background)
        self._slots_left_by_urgent = _Slots(max(1, connections // 12))
        self._slow_slots = _Slots(settings.SLOW_SLOTS)
        self._urgent = 0
        self._last_urgent = float("-inf")
        self._slow: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._hedges = 0
        self._usual = MISSING_NAMESPACE_WAIT
        self._usual_write = MISSING_NAMESPACE_WAIT
        self._writable = asyncio.Event()
        self._writable.set()
        self.writes = 0
        self.takes_protobuf = self._own is not None
        """Whether bodies may be in the API server's own format; what stands in for the network reads JSON."""
        self.requested: Callable[[str, str, int, float], None] = lambda method, path, code, seconds: None
        """Called after each request: its method and path, the answer's code or 0, and how long it took."""
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write but those of the lease: whether it is still ours to make."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            await self._own.close()

    @property
    def in_background(self) -> bool:
        """Whether what runs now gives way to others."""
        return _background.get() is True

    @contextmanager
    def lane(self, *, background: bool) -> Iterator[None]:
        """Writes within, and in tasks started within, give way to others, or fan-outs to them."""
        token = _background.set(background)
        try:
            yield
        finally:
            _background.reset(token)

    async def open_connections(self, writers: int) -> None:
        """Open what a fan-out of so many writers uses, so that its first writes wait for no handshakes.

        What goes wrong here goes wrong again, and is told, where a connection is needed.
        """
        count = min(writers, self._most_in_background)
        requests = (self._request("GET", "/version") for _ in range(count))
        await asyncio.gather(*requests, return_exceptions=True)

    # --- reads ---

    async def get(self, path: str, *, control: bool = False) -> Object:
        """One object. `control`: for the lease, over a connection of its own. Raises ApiError."""
        return await self._request("GET", path, control=control)

    async def version(self, path: str) -> str:
        """The cluster's resource version at present, by the smallest list there is. Raises ApiError."""
        try:
            return decode.page(await self._raw("GET", f"{path}?limit=1")).resource_version
        except ValueError as error:
            raise _unintelligible("GET", path, error) from error

    async def pages(self, path: str, *, selector: str | None = None) -> AsyncIterator[Listed]:
        """A list in pages. Raises ApiError; Gone when the continue token has expired."""
        params = {"limit": str(settings.PAGE)}
        if selector:
            params["labelSelector"] = selector
        while True:
            try:
                listed = decode.page(await self._raw("GET", f"{path}?{urlencode(params)}"))
            except AnswerTooLargeError as error:
                # Large objects: fewer of them at a time.
                if params["limit"] == "1":
                    raise ApiError(0, "TooLarge", str(error)) from error
                params["limit"] = str(max(1, int(params["limit"]) // 8))
                continue
            except ApiError as error:
                if error.status == 410:
                    raise Gone from error
                raise
            except ValueError as error:
                raise _unintelligible("GET", path, error) from error
            yield listed
            if not listed.next:
                return
            params["continue"] = listed.next

    async def watch(
        self,
        path: str,
        resource_version: str,
        *,
        selector: str | None = None,
        silence: float = settings.SILENCE,
        accepted: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[tuple[str, Object | Undecodable], None]:
        """Types and objects of watch events, bookmarks included, until the server ends the stream.

        `silence`: seconds without a byte after which the stream counts as broken. `accepted` is called when the API
        server has taken the request. Raises Gone and ApiError.
        """
        params = {
            "watch": "1",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(settings.WATCH_TIMEOUT),
        }
        if selector:
            params["labelSelector"] = selector
        try:
            async with self._transport.stream(
                f"{path}?{urlencode(params)}", headers=_JSON, silence=silence
            ) as stream:
                if stream.status >= 400:
                    error = refusal(Answer(stream.status, stream.headers, await stream.read()))
                    raise Gone if error.status == 410 else error
                accepted()
                async for line in _lines(stream):
                    if line is None:
                        yield "", decode.undecodable(b"", f"an event of more than {settings.MAX_LINE} bytes")
                        continue
                    kind, found = decode.event(line)
                    if kind == "ERROR" and isinstance(found, dict):
                        raise status_error(found)
                    yield kind, found
        except TransportError as error:
            raise ApiError(0, "Unreachable", f"watch of {path} broke: {error}") from error
        except ValueError as error:
            raise _unintelligible("watch of", path, error) from error

    async def review(self, path: str, body: Mapping[str, Any]) -> Object:
        """POST of a question (TokenReview, SubjectAccessReview): it stores nothing, so a standby may ask as well.

        Raises ApiError.
        """
        return await self._request("POST", path, data=orjson.dumps(body), content_type="application/json")

    # --- writes ---

    async def create(self, path: str, body: bytes | Mapping[str, Any], *, control: bool = False) -> Object:
        """POST. Raises ApiError (409 AlreadyExists). `control`: for the lease, which waits for nothing."""
        return await self._write("POST", path, body, control=control)

    async def create_soon(self, path: str, body: bytes) -> Object:
        """POST of an object with a fixed name; where the answer is unusually late, a second one beside it.

        A new namespace's first writes may get there a millisecond before the API server's own cache has heard of
        it, and are then held for 50 ms; a second one is answered at once, and the first then finds the object
        there. Raises ApiError.
        """
        if _background.get() or self._is_crowded():
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

    async def replace(self, path: str, body: bytes | Mapping[str, Any], *, control: bool = False) -> Object:
        """PUT of the whole object; the body carries the resourceVersion that it is based on. Raises ApiError."""
        return await self._write("PUT", path, body, control=control)

    async def merge(self, path: str, body: Mapping[str, Any]) -> Object:
        """PATCH with a JSON merge patch (RFC 7386). Raises ApiError."""
        return await self._write("PATCH", path, body, content_type="application/merge-patch+json")

    async def delete(self, path: str, *, uid: str, resource_version: str) -> Object:
        """DELETE of exactly the object that was seen: another one, or a changed one, answers 409.

        The answer is a Status, or the object where finalizers keep it. Raises ApiError.
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
        control: bool = False,
    ) -> Object:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        if data.startswith(protobuf.MAGIC):
            content_type = protobuf.CONTENT_TYPE
        # Unknown fields are no news to who has written them, and looking for them costs the API server time.
        target = path if method == "DELETE" else f"{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Ignore"
        if control:
            self.writes += 1
            return await self._request(method, target, data=data, content_type=content_type, control=True)
        place = _place_of(method, path)
        self._refuse_where_held(method, path, place)
        if _background.get():
            async with (
                self._background_slots.one() as slot,
                # Looked at with a slot in hand: urgent work may have come while waiting for it.
                self._slots_left_by_urgent.one() if self._is_urgent() else nullcontext(),
            ):
                return await self._send(method, target, data, content_type, place, slot)
        urgent = _background.get() is False
        self._urgent += urgent
        try:
            # Where many wait, one place's policies go one after the other, so that it has one slot of all.
            async with self._turn(place), self._urgent_slots.one() as slot:
                return await self._send(method, target, data, content_type, place, slot)
        finally:
            if urgent:
                self._urgent -= 1
                self._last_urgent = time.monotonic()

    def _is_urgent(self) -> bool:
        return self._urgent > 0 or time.monotonic() < self._last_urgent + settings.WAY_GIVEN

    def _is_crowded(self) -> bool:
        return self._urgent_slots.free < self._urgent_slots.size // 2

    def _turn(self, place: str) -> AbstractAsyncContextManager[Any]:
        if not self._is_crowded():
            return nullcontext()
        return self._turns.setdefault(place, asyncio.Lock())

    def _refuse_where_held(self, method: str, path: str, place: str) -> None:
        now = time.monotonic()
        for waits in (self._held, self._slow):
            if waits.get(place, now) < now:
                del waits[place]
        if place in self._held:
            raise ApiError(
                429,
                "HeldBack",
                f"{method} {path}: not sent yet, an earlier answer asked to wait",
                retry_after=self._held[place] - now,
                concerns="namespace",
            )
        if place in self._slow and not self._slow_slots.free:
            raise ApiError(
                0,
                "Slow",
                f"{method} {path}: not sent yet, the last write in this namespace had no answer in time, nor have"
                " those in others; a webhook may not answer",
                retry_after=1.0,
                concerns="namespace",
            )

    async def _send(
        self, method: str, path: str, data: bytes, content_type: str, place: str, slot: _Slot
    ) -> Object:
        await self._writable.wait()
        if not self.may_write():
            raise ApiError(0, "NotLeading", f"{method} {path}: not sent, the lease is not held any more")
        self._refuse_where_held(method, path, place)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        patience = max(settings.SLOW_AFTER, 10 * self._usual_write)
        if place in self._slow and slot.move_to(self._slow_slots):
            patience = settings.WRITE_DEADLINE
        self.writes += 1
        try:
            async with asyncio.timeout(None) as limit:

                def late() -> None:
                    self._slow[place] = time.monotonic() + settings.SLOW_FOR
                    moved = slot.move_to(self._slow_slots)
                    limit.reschedule(begun + settings.WRITE_DEADLINE if moved else loop.time())

                timer = loop.call_later(patience, late)
                try:
                    answer = await self._request(method, path, data=data, content_type=content_type)
                finally:
                    timer.cancel()
        except TimeoutError as error:
            raise ApiError(
                0,
                "Timeout",
                f"{method} {path.partition('?')[0]}: no answer within {loop.time() - begun:.1f} s; a webhook may not"
                " answer",
                concerns="namespace",
            ) from error
        except ApiError as error:
            self._learn(place, error)
            raise
        self._slow.pop(place, None)
        self._usual_write += (loop.time() - begun - self._usual_write) / 100
        return answer

    def _learn(self, place: str, error: ApiError) -> None:
        """Hold back what a Retry-After came for: all writes where the API server as a whole is meant."""
        if error.status != 0:
            self._slow.pop(place, None)
        if error.retry_after is None:
            return
        seconds = min(error.retry_after, settings.LONGEST_PAUSE)
        if error.concerns != "cluster":
            now = time.monotonic()
            self._held[place] = now + seconds
            held = sum(until > now for until in self._held.values())
            if error.concerns == "webhook" or held < settings.MANY_HELD:
                return
        if self._writable.is_set():
            self._writable.clear()
            asyncio.get_running_loop().call_later(seconds, self._writable.set)

    # --- the wire ---

    async def _request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        content_type: str | None = None,
        control: bool = False,
    ) -> Object:
        try:
            raw = await self._raw(method, path, data=data, content_type=content_type, control=control)
        except AnswerTooLargeError as error:
            raise ApiError(0, "TooLarge", str(error)) from error
        found = decode.single(raw)
        if isinstance(found, Undecodable):
            raise ApiError(
                0,
                "Undecodable",
                f"{method} {path}: the object cannot be read: {found.reason}",
                concerns="object",
            )
        return found

    async def _raw(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        content_type: str | None = None,
        control: bool = False,
    ) -> bytes:
        """The body of an answer. Raises ApiError, and AnswerTooLargeError."""
        headers = {**_JSON, "Content-Type": content_type} if content_type else _JSON
        deadline = settings.READ_DEADLINE if data is None else settings.WRITE_DEADLINE
        began = time.monotonic()
        code = 0
        try:
            answer = await self._transport.request(
                method,
                path,
                body=data,
                headers=headers,
                timeout=settings.CONTROL_DEADLINE if control else deadline,
                control=control,
            )
        except AnswerTooLargeError:
            raise
            code = answer.status
        except TransportError as error:
            raise ApiError(0, "Unreachable", str(error)) from error
        finally:
            self.requested(method, path, code, time.monotonic() - began)
        if answer.status >= 400:
            raise refusal(answer)
        return answer.body


class _Slots:
    """A number of slots, each taken by one write at a time; those who wait get one in their order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.free = size
        self._waiting: dict[asyncio.Future[None], None] = {}

    def one(self) -> _Slot:
        return _Slot(self)

    async def take(self) -> None:
        if self.free:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if self._waiting.pop(turn, self) is self and not turn.cancelled():
                self.give_back()
            raise

    def try_take(self) -> bool:
        if not self.free:
            return False
        self.free -= 1
        return True

    def give_back(self) -> None:
        while self._waiting:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class _Slot:
    """One slot held, which may be exchanged for one of another kind."""

    def __init__(self, slots: _Slots) -> None:
        self._slots = slots

    async def __aenter__(self) -> Self:
        await self._slots.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._slots.give_back()

    def move_to(self, others: _Slots) -> bool:
        """Give the slot back and take one of the others; False where none is free."""
        if others is self._slots:
            return True
        if not others.try_take():
            return False
        self._slots.give_back()
        self._slots = others
        return True


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


def _place_of(method: str, path: str) -> str:
    """Where an object is written: the path of its namespace's collection, or of a cluster-scoped one.

    What hangs or is told to wait is a kind in a namespace: Events may go where policies do not.
    """
    parts = path.split("/")
    at = parts.index("namespaces") + 2 if "namespaces" in parts else len(parts) - (method != "POST")
    return "/".join(parts[: at + 1])


def _unintelligible(method: str, path: str, error: Exception) -> ApiError:
    return ApiError(0, "Undecodable", f"{method} {path}: the answer cannot be read: {error}")


async def _lines(chunks: Any) -> AsyncIterator[bytes | None]:
    """Lines of up to MAX_LINE bytes; None for a longer one."""
    rest: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *lines, last = chunk.split(b"\n")
        for line in lines:
            if size <= settings.MAX_LINE:
                whole = b"".join((*rest, line))
                if whole:
                    yield whole
            else:
                yield None
            rest, size = [], 0
        size += len(last)
        if size <= settings.MAX_LINE:
            rest.append(last)
        else:
            rest.clear()
