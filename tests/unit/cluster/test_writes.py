"""Which writes go first, how many at a time, and which are sent twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from tenantprofile.cluster.api import HEDGES, Api, ApiError
from tenantprofile.cluster.credentials import Credentials

PATH = "/apis/networking.k8s.io/v1/namespaces/new/networkpolicies"
TAKEN = {"reason": "AlreadyExists", "message": "it exists"}

Answer = Callable[[int], Awaitable[web.Response]]


@asynccontextmanager
async def serving(answer: Answer, *, seconds: float = 0.0) -> AsyncIterator[tuple[Api, list[int]]]:
    """An Api that has seen quick answers, before a server that answers the n-th later POST as it is told."""
    seen: list[int] = []
    warm = 30

    async def post(_request: web.Request) -> web.Response:
        seen.append(len(seen))
        if len(seen) <= warm:
            await asyncio.sleep(seconds)
            return web.json_response({}, status=201)
        return await answer(len(seen) - warm)

    app = web.Application()
    app.router.add_post(PATH, post)
    async with TestServer(app) as server:
        credentials = Credentials(Configuration(host=str(server.make_url(""))), None, None)
        async with Api(credentials, connections=48) as api:
            for _ in range(warm):
                await api.create(PATH, b"{}") if seconds else await api.create_soon(PATH, b"{}")
            yield api, seen


async def test_a_create_that_is_held_back_is_overtaken_by_a_second_one() -> None:
    release = asyncio.Event()

    async def answer(number: int) -> web.Response:
        if number == 1:
            await release.wait()
            return web.json_response(TAKEN, status=409)
        return web.json_response({"second": True}, status=201)

    async with serving(answer) as (api, seen):
        assert await api.create_soon(PATH, b"{}") == {"second": True}
        assert len(seen) == 32
        release.set()


async def test_a_second_one_that_comes_too_late_is_not_taken_for_a_conflict() -> None:
    second = asyncio.Event()

    async def answer(number: int) -> web.Response:
        if number == 1:
            await second.wait()
            return web.json_response({"first": True}, status=201)
        second.set()
        return web.json_response(TAKEN, status=409)

    async with serving(answer) as (api, _):
        assert await api.create_soon(PATH, b"{}") == {"first": True}


async def test_a_conflict_is_one_when_both_find_it() -> None:
    second = asyncio.Event()

    async def answer(number: int) -> web.Response:
        if number == 1:
            await second.wait()
        second.set()
        return web.json_response(TAKEN, status=409)

    async with serving(answer) as (api, _):
        with pytest.raises(ApiError) as raised:
            await api.create_soon(PATH, b"{}")
        assert raised.value.status == 409


async def test_nothing_is_sent_twice_by_fan_outs_nor_where_answers_usually_take_long() -> None:
    async def answer(_number: int) -> web.Response:
        await asyncio.sleep(0.1)
        return web.json_response({}, status=201)

    async with serving(answer) as (api, seen):
        with api.lane(background=True):
            await api.create_soon(PATH, b"{}")
        assert len(seen) == 31
    async with serving(answer, seconds=0.001) as (api, seen):
        # This one has not seen a create of a new namespace yet, and takes the longest for usual.
        await api.create_soon(PATH, b"{}")
        assert len(seen) == 31


async def test_few_are_sent_twice_at_a_time() -> None:
    release = asyncio.Event()

    async def answer(_number: int) -> web.Response:
        await release.wait()
        return web.json_response({}, status=201)

    async with serving(answer) as (api, seen):
        waiting = [asyncio.ensure_future(api.create_soon(PATH, json.dumps([n]).encode())) for n in range(20)]
        while len(seen) < 30 + 20 + HEDGES:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert len(seen) == 30 + 20 + HEDGES
        release.set()
        assert len(await asyncio.gather(*waiting)) == 20


@pytest.mark.parametrize(("is_urgent", "most"), [(False, 36), (True, 4)])
async def test_a_fan_out_has_three_quarters_of_the_connections_and_a_twelfth_beside_urgent_work(
    is_urgent: bool, most: int
) -> None:
    release = asyncio.Event()

    async def answer(_number: int) -> web.Response:
        await release.wait()
        return web.json_response({}, status=201)

    async with serving(answer) as (api, seen):
        if is_urgent:
            with api.lane(background=False):
                pass  # it is over, and may come again any moment
        with api.lane(background=True):
            waiting = [asyncio.ensure_future(api.create(PATH, b"{}")) for _ in range(60)]
        while len(seen) < 30 + most:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(seen) == 30 + most
        with api.lane(background=False):
            waiting.append(asyncio.ensure_future(api.create(PATH, b"{}")))
        while len(seen) < 30 + most + 1:
            await asyncio.sleep(0.01)
        release.set()
        assert len(await asyncio.gather(*waiting)) == 61


async def test_a_process_that_has_lost_its_lease_unawares_sends_nothing_but_for_the_lease() -> None:
    async def answer(_number: int) -> web.Response:
        return web.json_response({}, status=201)

    async with serving(answer) as (api, seen):
        before = len(seen)
        api.may_write = lambda: False
        with pytest.raises(ApiError, match="the lease is not held any more"):
            await api.create_soon(PATH, b"{}")
        assert len(seen) == before
        await api.create(PATH, b"{}", held_back=False)
        assert len(seen) == before + 1


async def test_a_fan_out_finds_its_connections_open() -> None:
    transports: set[int] = set()

    async def answer(request: web.Request) -> web.Response:
        transports.add(id(request.transport))
        await asyncio.sleep(0.05)
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/version", answer)
    app.router.add_post(PATH, answer)
    async with TestServer(app) as server:
        credentials = Credentials(Configuration(host=str(server.make_url(""))), None, None)
        async with Api(credentials, connections=12) as api:
            await api.open_connections(500)
            assert len(transports) == 9
            with api.lane(background=True):
                await asyncio.gather(*(api.create(PATH, b"{}") for _ in range(30)))
            assert len(transports) == 9


async def test_connections_that_cannot_be_opened_are_not_the_end() -> None:
    credentials = Credentials(Configuration(host="http://127.0.0.1:1"), None, None)
    async with Api(credentials) as api:
        await api.open_connections(9)
