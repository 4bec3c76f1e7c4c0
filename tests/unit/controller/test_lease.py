"""Who may write, at every moment; and that it is never silent when nobody may."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st

from tenantprofile.cluster.api import ApiError
from tenantprofile.controller import lease as module
from tenantprofile.controller.lease import Lease
from tenantprofile.settings import LEASE_DURATION, LEASE_UNREACHABLE, RENEW_DEADLINE


class Server:
    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.committed = 0.0


class Candidate:
    """An API client whose requests and answers each take a while, of a clock that the test moves."""

    def __init__(self, server: Server, now: list[float]) -> None:
        self.server = server
        self.now = now
        self.there = 0.0
        self.back = 0.0
        self.lost = False
        self.refusal: ApiError | None = None

    async def get(self, _path: str, *, control: bool) -> dict[str, Any]:
        assert control
        if self.refusal:
            raise self.refusal
        if self.server.lease is None:
            raise ApiError(404, "NotFound", "no lease", body={"details": {"name": "l", "kind": "leases"}})
        lease: dict[str, Any] = json.loads(json.dumps(self.server.lease))
        return lease

    async def create(self, _path: str, body: dict[str, Any], *, control: bool) -> dict[str, Any]:
        assert control
        return self._commit(body)

    async def replace(self, _path: str, body: dict[str, Any], *, control: bool) -> dict[str, Any]:
        assert control
        return self._commit(body)

    def _commit(self, body: dict[str, Any]) -> dict[str, Any]:
        self.now[0] += self.there
        known = self.server.lease
        if known and known["metadata"]["resourceVersion"] != body["metadata"].get("resourceVersion"):
            raise ApiError(409, "Conflict", "")
        self.server.version += 1
        body["metadata"]["resourceVersion"] = str(self.server.version)
        self.server.lease = json.loads(json.dumps(body))
        self.server.committed = self.now[0]
        self.now[0] += self.back
        if self.lost:
            raise ApiError(0, "Unreachable", "the connection broke")
        return body

    def lease(self, identity: str) -> Lease:
        return Lease(
            self,  # type: ignore[arg-type]
            namespace="system",
            name="l",
            identity=identity,
            changed=lambda _: None,
            clock=lambda: self.now[0],
        )


async def test_a_slow_renewal_is_counted_from_when_it_was_sent() -> None:
    now, server = [1000.0], Server()
    a, b = Candidate(server, now), Candidate(server, now)
    first, second = a.lease("a"), b.lease("b")
    assert await first._attempt(RENEW_DEADLINE)
    assert not await second._attempt(RENEW_DEADLINE)
    now[0] += 2.0
    a.back = 7.9  # committed at once, answered inside the deadline
    assert await first._attempt(RENEW_DEADLINE)
    assert not await second._attempt(RENEW_DEADLINE)
    now[0] = server.committed + RENEW_DEADLINE
    assert not first.is_held()
    now[0] = server.committed + 7.9 + LEASE_DURATION
    assert await second._attempt(RENEW_DEADLINE)


async def test_an_answer_that_comes_after_the_lease_has_ended_acquires_nothing() -> None:
    now, server = [2000.0], Server()
    a = Candidate(server, now)
    lease = a.lease("a")
    a.back = 30.0
    await lease._attempt(RENEW_DEADLINE)
    assert not lease.is_held()


async def test_an_acquisition_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now, server = [0.0], Server()
    a = Candidate(server, now)
    lease = a.lease("a")

    async def never(*_: Any, **__: Any) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(a, "get", never)
    assert not await lease._attempt(0.01)
    assert not lease.is_held()


async def test_a_renewal_whose_answer_was_lost_is_not_a_rival() -> None:
    now, server = [0.0], Server()
    a = Candidate(server, now)
    lease = a.lease("a")
    assert await lease._attempt(RENEW_DEADLINE)
    a.lost = True
    assert not await lease._attempt(RENEW_DEADLINE)
    a.lost = False
    now[0] += 2.0
    assert await lease._attempt(RENEW_DEADLINE)
    assert lease.is_held()


@checked(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.floats(0.1, 6.0),
            st.floats(0.0, 9.0),
            st.floats(0.0, 9.0),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_two_never_write_at_a_time(steps: list[tuple[str, float, float, float, bool]]) -> None:
    async def run() -> None:
        now, server = [0.0], Server()
        apis = {name: Candidate(server, now) for name in "ab"}
        leases = {name: apis[name].lease(name) for name in "ab"}
        for name, pause, there, back, lost in steps:
            now[0] += pause
            api = apis[name]
            api.there, api.back, api.lost = there, back, lost
            await leases[name]._attempt(RENEW_DEADLINE)
            assert not (leases["a"].is_held() and leases["b"].is_held())

    asyncio.run(run())


async def test_a_lease_that_another_has_taken_is_not_held_from_that_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_PERIOD", 0.01)
    server = Server()
    api, told = Candidate(server, [0.0]), asyncio.Queue[tuple[bool, bool]]()
    lease = api.lease("me")
    lease._changed = lambda leads: told.put_nowait((leads, lease.is_held()))
    assert not lease.is_held()
    running = asyncio.create_task(lease.run())
    assert await told.get() == (True, True)
    server.lease = {"metadata": {"resourceVersion": "99"}, "spec": {"holderIdentity": "another"}}
    assert await told.get() == (False, False)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_is_given_back_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_PERIOD", 0.01)
    server = Server()
    api, leading = Candidate(server, [0.0]), asyncio.Event()
    lease = api.lease("me")
    lease._changed = lambda leads: leading.set() if leads else None
    running = asyncio.create_task(lease.run())
    await leading.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert server.lease is not None
    assert server.lease["spec"]["holderIdentity"] == ""


# --- never silent ---

NO_NAMESPACE = ApiError(
    404, "NotFound", 'namespaces "system" not found', body={"details": {"kind": "namespaces"}}
)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (NO_NAMESPACE, "kubectl create namespace system"),
        (NO_NAMESPACE, "--no-leader-elect"),
        (ApiError(403, "Forbidden", 'User "x" cannot get leases'), "apply deploy/base"),
        (ApiError(0, "Unreachable", "no answer within 5 s"), "no answer within 5 s"),
    ],
)
async def test_a_lease_that_cannot_be_had_is_a_problem(refusal: ApiError, words: str) -> None:
    now = [0.0]
    api = Candidate(Server(), now)
    lease = api.lease("me")
    api.refusal = refusal
    assert not await lease._attempt(RENEW_DEADLINE)
    assert lease.problem() is None  # it may be a moment
    now[0] += LEASE_UNREACHABLE + 1
    assert words in (lease.problem() or "")
    api.refusal = None
    assert await lease._attempt(RENEW_DEADLINE)
    assert lease.problem() is None


async def test_a_namespace_that_does_not_exist_is_found_out_when_the_lease_is_made() -> None:
    api = Candidate(Server(), [0.0])
    lease = api.lease("me")

    async def create(*_: Any, **__: Any) -> dict[str, Any]:
        raise NO_NAMESPACE

    api.create = create  # type: ignore[method-assign]
    assert not await lease._attempt(RENEW_DEADLINE)
    assert "kubectl create namespace system" in (lease._error or "")


async def test_a_holder_that_does_not_renew_is_a_problem_and_one_that_does_is_none() -> None:
    now, server = [0.0], Server()
    a, b = Candidate(server, now), Candidate(server, now)
    stranger, standby = a.lease("stranger"), b.lease("standby")
    await stranger._attempt(RENEW_DEADLINE)
    for _ in range(30):
        now[0] += 2.0
        await stranger._attempt(RENEW_DEADLINE)
        await standby._attempt(RENEW_DEADLINE)
        assert standby.problem() is None
    assert server.lease is not None
    server.lease["spec"]["leaseDurationSeconds"] = 86_400  # it has asked for a day, and is gone
    server.lease["metadata"]["resourceVersion"] = "77"
    for _ in range(20):
        now[0] += 2.0
        await standby._attempt(RENEW_DEADLINE)
    assert "'stranger', who has not renewed it for" in (standby.problem() or "")
