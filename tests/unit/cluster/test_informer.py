"""Following a kind: what it costs when things go wrong, and that nothing stays unknown."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tenantprofile import settings
from tenantprofile.cluster.api import Api
from tenantprofile.cluster.informer import Informer
from tenantprofile.cluster.store import Key, Store
from tenantprofile.cluster.transport import Answer
from unit.cluster.scripted import Collection, refused, until

GONE = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410}}).encode()


class Follower:
    def __init__(self, server: Collection, **options: Any) -> None:
        self.now = 0.0
        self.changes: list[tuple[Key, str | None, str | None]] = []
        self.bodies: list[dict[str, Any] | None] = []
        self.restored = 0
        self.informer: Informer[str] = Informer(
            Api(server),
            "/things",
            Store(lambda raw: str(raw["value"])),
            self._changed,
            lambda: self.now,
            restored=self._restored,
            **options,
        )
        self.store = self.informer.store

    def _changed(self, key: Key, before: str | None, after: str | None) -> None:
        self.changes.append((key, before, after))
        self.bodies.append(self.informer.body)

    def _restored(self) -> None:
        self.restored += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.informer.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause, which takes no time."""
    taken: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds >= settings.VERSION_CHECK / 2:
            await asyncio.Event().wait()  # the guard beside a watch, which is not wanted here
        if seconds:
            taken.append(seconds)
        await sleep(0)

    monkeypatch.setattr("tenantprofile.cluster.informer.asyncio.sleep", noted)
    return taken


async def test_the_list_then_the_watch(pauses: list[float]) -> None:
    server = Collection()
    server.put("x", value="1")
    follower = Follower(server)
    async with follower.running():
        await follower.informer.synced.wait()
        assert follower.store.get("x", "a") == "1"
        await until(lambda: server.watches == 1)
        server.send("MODIFIED", server.put("x", value="2"))
        server.send("DELETED", server.remove("x"))
        await until(lambda: len(follower.changes) == 3)
    assert follower.changes == [
        (("a", "x"), None, "1"),
        (("a", "x"), "1", "2"),
        (("a", "x"), "2", None),
    ]
    assert follower.bodies[-1] is not None
    assert pauses == []


async def test_a_server_that_ends_every_watch_at_once_is_asked_more_and_more_seldom(
    pauses: list[float],
) -> None:
    server = Collection()
    server.first_line = b""
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.watches == 12)
    assert len(pauses) >= 11
    assert pauses[0] <= settings.WATCH_PAUSES[0]
    assert pauses[10] >= settings.WATCH_PAUSES[1] / 2
    assert server.lists == 1


@pytest.mark.parametrize("form", ["status", "event"])
async def test_a_410_that_repeats_costs_ever_fewer_lists(form: str, pauses: list[float]) -> None:
    server = Collection()
    if form == "event":
        server.first_line = GONE
    else:
        server.refuse_watches = refused(410, "too old")
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.watches == 10)
    assert server.lists == 10
    assert len(pauses) >= 9
    assert pauses[8] >= settings.WATCH_PAUSES[1] / 2


async def test_a_continue_token_that_expires_again_and_again_costs_ever_fewer_lists(
    pauses: list[float],
) -> None:
    server = Collection()
    server.refuse_lists = refused(410, "the continue token is too old")
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.lists == 10)
    assert len(pauses) >= 9
    assert pauses[8] >= settings.WATCH_PAUSES[1] / 2


async def test_an_accepted_watch_is_a_sign_of_life(pauses: list[float]) -> None:
    server = Collection()
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.watches == 1)
        follower.now = 290.0
        server.end_watches()
        await until(lambda: server.watches == 2)
        await until(lambda: follower.informer.last_contact == 290.0)


async def test_a_state_that_went_back_is_read_anew(pauses: list[float]) -> None:
    server = Collection()
    for name in ("deny", "edited", "later"):
        server.put(name, value="new")
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.watches == 1)
        follower.changes.clear()
        # Restored: one object is older, one lacks, and both have lower versions than those known.
        server.version = 5
        server.objects.clear()
        server.put("edited", value="old")
        server.put("back", value="old")
        server.end_watches()
        await until(lambda: follower.restored)
        assert not follower.informer.synced.is_set()
        await follower.informer.synced.wait()
        assert follower.store.get("edited", "a") == "old"
        assert follower.store.get("deny", "a") is None
    assert set(follower.changes) == {
        (("a", "edited"), "new", "old"),
        (("a", "back"), None, "old"),
        (("a", "deny"), "new", None),
        (("a", "later"), "new", None),
    }


async def test_a_state_that_went_back_and_on_is_noticed_by_a_comparison(pauses: list[float]) -> None:
    server = Collection()
    server.put("deny", value="new")
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.watches == 1)
        server.version = 5
        server.objects.clear()
        server.put("deny", value="old")
        server.version = 100
        await follower.informer.resync()
        await until(lambda: follower.restored)
        await follower.informer.synced.wait()
        assert follower.store.get("deny", "a") == "old"


async def test_a_state_that_goes_back_under_an_open_watch_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "VERSION_CHECK", 0.001)
    server = Collection()
    server.put("deny", value="new")
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.watches == 1)
        server.version = 5
        server.objects.clear()
        while not follower.restored:
            await asyncio.sleep(0.001)
        await follower.informer.synced.wait()
        assert follower.store.get("deny", "a") is None


async def test_a_kind_that_is_not_served_is_a_problem_until_it_is(pauses: list[float]) -> None:
    server = Collection()
    server.refuse_lists = Answer(404, {}, b"404 page not found")
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.lists == 5)
        assert "things are not served" in (follower.informer.problem() or "")
        assert max(pauses) <= settings.NOT_SERVED_PAUSE
        server.refuse_lists = None
        server.put("x", value="1")
        await follower.informer.synced.wait()
        assert follower.informer.problem() is None
        # And once more: deleted with everything in it, then served with other objects.
        await until(lambda: server.watches == 1)
        server.refuse_watches = Answer(404, {}, b"404 page not found")
        server.refuse_lists = Answer(404, {}, b"404 page not found")
        server.end_watches()
        await until(lambda: server.lists > 8)
        follower.now += settings.BLIND + 1
        assert "things are not served" in (follower.informer.problem() or "")
        assert follower.store.get("x", "a") == "1"
        server.remove("x")
        server.put("x", value="another")
        server.refuse_watches = server.refuse_lists = None
        await until(lambda: follower.store.get("x", "a") == "another")
        assert follower.informer.problem() is None


async def test_what_only_a_comparison_finds_is_reported(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "UNHEARD_AFTER", 0.0)
    server = Collection()
    server.put("lost", value="1")
    follower = Follower(server)
    async with follower.running():
        await until(lambda: server.watches == 1)
        server.put("lost", value="2")
        server.put("late", value="1")
        await follower.informer.resync()
        assert follower.store.get("lost", "a") == "2"
        server.send("ADDED", server.objects["a", "late"])
        await until(lambda: follower.informer.unheard)
    assert follower.informer.unheard in (1, 2)
    assert "that no watch had brought" in caplog.text


DEEP = b'{"f:x":' * 1100 + b"{}" + b"}" * 1100


async def test_one_object_that_cannot_be_read_ends_neither_watch_nor_list(pauses: list[float]) -> None:
    server = Collection()
    server.put("deep", value=[[[["x"]]]])
    server.put("strange")
    server.put("fine", value="1")
    follower = Follower(server, nesting=3)
    async with follower.running():
        await until(lambda: server.watches == 1)
        assert follower.store.names("a") == ["fine"]
        assert {key[1]: found.reason for key, found in follower.store.undecodable.items()} == {
            "deep": "nested in more than 3 levels",
            "strange": "'value'",
        }
        hostile = (
            b'{"type":"ADDED","object":{"metadata":'
            b'{"namespace":"a","name":"%s","uid":"u","resourceVersion":"%d"},"value":%s}}'
        )
        server.send_line(hostile % (b"worse", server.version + 1, DEEP))
        server.send_line(b'{"type":"ADDED","object":{"metadata":7}}')
        server.send_line(hostile % (b"next", server.version + 2, b'"1"'))
        await until(lambda: follower.store.get("next", "a"))
        assert server.watches == 1
        assert follower.store.undecodable["a", "worse"].uid == "u"
        server.version += 2
        server.send("MODIFIED", server.put("strange", value="2"))
        await until(lambda: follower.store.get("strange", "a"))
        assert ("a", "strange") not in follower.store.undecodable
    assert pauses == []


async def test_a_long_list_lets_others_run() -> None:
    server = Collection()
    for index in range(3000):
        server.put(f"x{index}", value="1")
    follower = Follower(server)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += len(follower.changes) not in (0, 3000)
            await asyncio.sleep(0)

    # Every step is one that takes too long.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenantprofile.cluster.pace.YIELD", 0.0)
        ticker = asyncio.create_task(other())
        async with follower.running():
            await follower.informer.synced.wait()
        ticker.cancel()
    assert turns >= 2000
