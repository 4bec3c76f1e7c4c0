"""Which writes go first, how many at a time, which are sent twice, and whom one that hangs holds up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from tenantprofile import settings
from tenantprofile.cluster.api import Api, ApiError, policies_in
from tenantprofile.cluster.credentials import Credentials
from tenantprofile.cluster.transport import Answer
from tenantprofile.settings import HEDGES
from unit.cluster.scripted import Scripted, answer, refused, until

PATH = policies_in("new")
TAKEN = refused(409, "it exists")
WEBHOOK = 'admission webhook "w" denied the request: wait'


def quick(respond: Callable[[int], Awaitable[Answer]], *, connections: int = 48) -> tuple[Api, Scripted]:
    """An Api that is used to quick answers; `respond` is given the number of the request, from 1."""
    transport = Scripted(lambda *_: respond(len(transport.requests)))
    api = Api(transport, connections=connections)
    api._usual = 0.0
    return api, transport


async def settle() -> None:
    """Let everything run that can run without another answer."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_create_that_is_held_back_is_overtaken_by_a_second_one() -> None:
    release = asyncio.Event()

    async def respond(number: int) -> Answer:
        if number == 1:
            await release.wait()
            return TAKEN
        return answer({"second": True}, 201)

    api, transport = quick(respond)
    assert await api.create_soon(PATH, b"{}") == {"second": True}
    assert len(transport.requests) == 2
    release.set()
    await settle()


async def test_a_second_one_that_comes_too_late_is_not_taken_for_a_conflict() -> None:
    second = asyncio.Event()

    async def respond(number: int) -> Answer:
        if number == 1:
            await second.wait()
            return answer({"first": True}, 201)
        second.set()
        return TAKEN

    api, _ = quick(respond)
    assert await api.create_soon(PATH, b"{}") == {"first": True}


async def test_a_conflict_is_one_when_both_find_it() -> None:
    second = asyncio.Event()

    async def respond(number: int) -> Answer:
        if number == 1:
            await second.wait()
        second.set()
        return TAKEN

    api, _ = quick(respond)
    with pytest.raises(ApiError) as raised:
        await api.create_soon(PATH, b"{}")
    assert raised.value.status == 409


async def test_nothing_is_sent_twice_by_fan_outs_nor_where_answers_usually_take_long() -> None:
    release = asyncio.Event()

    async def respond(_number: int) -> Answer:
        await release.wait()
        return answer({}, 201)

    api, transport = quick(respond)
    with api.lane(background=True):
        waiting = [asyncio.ensure_future(api.create_soon(PATH, b"{}"))]
    await settle()
    api._usual = settings.MISSING_NAMESPACE_WAIT
    waiting.append(asyncio.ensure_future(api.create_soon(policies_in("other"), b"{}")))
    await settle()
    assert len(transport.requests) == 2
    release.set()
    await asyncio.gather(*waiting)


async def test_few_are_sent_twice_at_a_time() -> None:
    release = asyncio.Event()

    async def respond(_number: int) -> Answer:
        await release.wait()
        return answer({}, 201)

    api, transport = quick(respond)
    waiting = [asyncio.ensure_future(api.create_soon(policies_in(f"ns-{n}"), b"{}")) for n in range(20)]
    # Each has decided before anything is answered: they are used to answers that take no time at all.
    await until(lambda: len(transport.requests) >= 20 + HEDGES)
    await asyncio.sleep(0.001)
    await settle()
    assert len(transport.requests) == 20 + HEDGES
    release.set()
    assert len(await asyncio.gather(*waiting)) == 20


@pytest.mark.parametrize(("is_urgent", "most"), [(False, 36), (True, 4)])
async def test_a_fan_out_has_three_quarters_of_the_connections_and_a_twelfth_beside_urgent_writes(
    is_urgent: bool, most: int
) -> None:
    release = asyncio.Event()

    async def respond(number: int) -> Answer:
        if not is_urgent or number > 1:
            await release.wait()
        return answer({}, 201)

    api, transport = quick(respond)
    if is_urgent:
        await api.create(PATH, b"{}")  # it is over, and another may come any moment
    before = len(transport.requests)
    with api.lane(background=True):
        waiting = [asyncio.ensure_future(api.create(PATH, b"{}")) for _ in range(60)]
    await settle()
    assert len(transport.requests) == before + most
    waiting.append(asyncio.ensure_future(api.create(PATH, b"{}")))
    await settle()
    assert len(transport.requests) == before + most + 1
    release.set()
    assert len(await asyncio.gather(*waiting)) == 61


async def test_urgent_work_that_writes_nothing_holds_back_no_fan_out() -> None:
    release = asyncio.Event()

    async def respond(_number: int) -> Answer:
        await release.wait()
        return answer({}, 201)

    api, transport = quick(respond)
    with api.lane(background=False):
        pass
    with api.lane(background=True):
        waiting = [asyncio.ensure_future(api.create(PATH, b"{}")) for _ in range(60)]
    await settle()
    assert len(transport.requests) == 36
    release.set()
    await asyncio.gather(*waiting)


async def test_a_process_that_has_lost_its_lease_unawares_sends_nothing_but_for_the_lease() -> None:
    async def respond(_number: int) -> Answer:
        return answer({}, 201)

    api, transport = quick(respond)
    api.may_write = lambda: False
    with pytest.raises(ApiError, match="the lease is not held any more"):
        await api.create_soon(PATH, b"{}")
    assert transport.requests == []
    await api.create(PATH, b"{}", control=True)
    assert len(transport.control) == 1


# --- bulkheads ---


class Hanging:
    """Requests about these namespaces have no answer until `release`."""

    def __init__(self, *namespaces: str) -> None:
        self.namespaces = namespaces
        self.release = asyncio.Event()
        self.open = 0
        self.most = 0
        self.transport = Scripted(self._respond)

    async def _respond(self, _method: str, path: str, _body: bytes | None) -> Answer:
        if any(f"/{name}/" in path for name in self.namespaces):
            self.open += 1
            self.most = max(self.most, self.open)
            try:
                await self.release.wait()
            finally:
                self.open -= 1
        return answer({}, 201)


async def test_a_hundred_namespaces_whose_writes_hang_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SLOW_AFTER", 0.02)
    bad = [f"bad-{n}" for n in range(100)]
    hanging = Hanging(*bad)
    api = Api(hanging.transport, connections=20)
    api._usual_write = 0.0

    async def keep_trying(namespace: str) -> None:
        while True:
            with pytest.raises(ApiError) as raised:
                await api.create(policies_in(namespace), b"{}")
            assert raised.value.concerns == "namespace"
            await asyncio.sleep(raised.value.retry_after or 0.01)

    others = [asyncio.create_task(keep_trying(name)) for name in bad]
    # Barrier: every one of them has been found slow, and all the slots for such are taken.
    while len(api._slow) < len(bad) or hanging.open != settings.SLOW_SLOTS:
        await asyncio.sleep(0.005)
    assert hanging.open == settings.SLOW_SLOTS
    assert api._urgent_slots.free == api._urgent_slots.size
    assert await api.create(policies_in("good"), b"{}") == {}
    with pytest.raises(ApiError, match="not sent yet") as raised:
        await api.create(policies_in("bad-1"), b"{}")
    assert raised.value.retry_after is not None
    assert hanging.most <= 20 + settings.SLOW_SLOTS
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert api._slow_slots.free == settings.SLOW_SLOTS


async def test_a_namespace_is_not_slow_any_more_once_a_write_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "SLOW_AFTER", 0.01)
    hanging = Hanging("bad")
    api = Api(hanging.transport)
    api._usual_write = 0.0
    write = asyncio.ensure_future(api.create(policies_in("bad"), b"{}"))
    while policies_in("bad") not in api._slow:
        await asyncio.sleep(0.001)
    hanging.release.set()
    assert await write == {}
    assert api._slow == {}
    assert (api._slow_slots.free, api._urgent_slots.free) == (settings.SLOW_SLOTS, 40)


async def one_refusal(refusal: Answer, *namespaces: str) -> Api:
    async def respond(_method: str, path: str, _body: bytes | None) -> Answer:
        return refusal if any(f"/{name}/" in path for name in namespaces) else answer({}, 201)

    api = Api(Scripted(respond))
    for name in namespaces:
        with pytest.raises(ApiError):
            await api.create(policies_in(name), b"{}")
    return api


async def test_a_retry_after_holds_back_the_namespace_that_it_came_for_and_no_other() -> None:
    wait = refused(429, WEBHOOK)
    api = await one_refusal(Answer(429, {"Retry-After": "60"}, wait.body), *(f"bad-{n}" for n in range(9)))
    assert await api.create(policies_in("good"), b"{}") == {}
    with pytest.raises(ApiError, match="not sent yet") as raised:
        await api.create(policies_in("bad-0"), b"{}")
    assert raised.value.retry_after == pytest.approx(60, abs=5)


FLOW = {"Retry-After": "1", "X-Kubernetes-PF-FlowSchema-UID": "u"}


@pytest.mark.parametrize(
    ("refusal", "namespaces"),
    [
        (Answer(429, FLOW, b"Too many requests, please try again later."), ["a"]),
        (Answer(429, FLOW, refused(429, "too many requests").body), ["a"]),
        (Answer(429, {"retry-after": "1"}, refused(429, "later", kind="x").body), ["a", "b", "c"]),
    ],
    ids=["flow control", "flow control, as a Status", "several namespaces"],
)
async def test_all_writes_wait_where_the_api_server_itself_asks(
    refusal: Answer, namespaces: list[str]
) -> None:
    api = await one_refusal(refusal, *namespaces)
    assert not api._writable.is_set()
    write = asyncio.ensure_future(api.create(policies_in("good"), b"{}"))
    await settle()
    assert not write.done()
    api._writable.set()
    assert await write == {}


# --- what a refusal means ---


TERMINATING: dict[str, Any] = {"causes": [{"reason": "NamespaceTerminating"}], "kind": "networkpolicies"}


@pytest.mark.parametrize(
    ("refusal", "concerns", "going"),
    [
        (refused(404, 'namespaces "a" not found', name="a", kind="namespaces"), "namespace", True),
        (refused(403, "unable to create", **TERMINATING), "namespace", True),
        (refused(404, WEBHOOK, kind="namespaces", name="a"), "webhook", False),
        (refused(403, WEBHOOK, **TERMINATING), "webhook", False),
        (refused(404, 'networkpolicies "x" not found', name="x", kind="networkpolicies"), "object", False),
        (Answer(404, {}, b"404 page not found"), "kind", False),
        (refused(404, "the server could not find the requested resource"), "kind", False),
        (refused(403, 'exceeded quota: q, requested: "…"', name="x"), "namespace", False),
        (refused(403, 'networkpolicies is forbidden: User "x" cannot create'), "rights", False),
        (refused(401, "Unauthorized"), "rights", False),
        (refused(500, 'Internal error occurred: failed calling webhook "w": x'), "webhook", False),
        (refused(409, "the object has been modified", name="x"), "object", False),
        (refused(422, "is invalid", name="x"), "object", False),
        (Answer(503, {}, b"<html>"), "cluster", False),
        (refused(404, "", kind=["namespaces"]), "kind", False),
        (answer({"message": None, "details": "?", "reason": 3}, 403), "rights", False),
        (answer(["?"], 500), "cluster", False),
    ],
)
async def test_a_refusal_is_told_by_what_it_concerns(refusal: Answer, concerns: str, going: bool) -> None:
    async def respond(*_: Any) -> Answer:
        return refusal

    with pytest.raises(ApiError) as raised:
        await Api(Scripted(respond)).create(PATH, b"{}")
    assert (raised.value.concerns, raised.value.namespace_is_going) == (concerns, going)


# --- the network ---


async def test_a_fan_out_finds_its_connections_open() -> None:
    transports: set[int] = set()

    async def respond(request: web.Request) -> web.Response:
        transports.add(id(request.transport))
        await asyncio.sleep(0.05)
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/version", respond)
    app.router.add_post(PATH, respond)
    async with TestServer(app) as server:
        credentials = Credentials(Configuration(host=str(server.make_url(""))), None, None)
        async with Api(credentials, connections=12) as api:
            await api.open_connections(500)
            assert len(transports) == 9
            with api.lane(background=True):
                await asyncio.gather(*(api.create(PATH, b"{}") for _ in range(30)))
            assert len(transports) == 9
            # The lease has a connection that none of these can take.
            await api.create(PATH, b"{}", control=True)
            assert len(transports) == 10


async def test_connections_that_cannot_be_opened_are_not_the_end() -> None:
    credentials = Credentials(Configuration(host="http://127.0.0.1:1"), None, None)
    async with Api(credentials) as api:
        await api.open_connections(9)
        with pytest.raises(ApiError) as raised:
            await api.get(PATH)
        assert (raised.value.status, raised.value.concerns) == (0, "cluster")
