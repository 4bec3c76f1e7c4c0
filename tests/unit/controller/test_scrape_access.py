"""Who may scrape: what is asked of the API server, how often, and what holds while it cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tenantprofile.cluster.api import ApiError
from tenantprofile.controller import scrape_access
from tenantprofile.controller.scrape_access import ALLOWED_FOR, DENIED_FOR, OUTAGE, ScrapeAccess


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Reviews:
    """Answers reviews as an API server does that knows two tokens, of which one's owner may scrape."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: ApiError | None = None
        self.users = {"good": "prometheus", "other": "somebody"}
        self.allowed = {"prometheus"}

    async def review(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(body["kind"])
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        spec = body["spec"]
        if body["kind"] == "TokenReview":
            user = self.users.get(spec["token"])
            return {"status": {"authenticated": True, "user": {"username": user}} if user else {}}
        assert spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
        return {"status": {"allowed": spec["user"] in self.allowed}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviews() -> Reviews:
    return Reviews()


@pytest.fixture
def access(reviews: Reviews, clock: Clock) -> ScrapeAccess:
    return ScrapeAccess(reviews, clock)  # type: ignore[arg-type]


async def ask(access: ScrapeAccess, token: str) -> int:
    return await access.check(f"Bearer {token}", "/metrics")


async def test_only_a_valid_token_whose_owner_has_the_right_is_let_in(access: ScrapeAccess) -> None:
    assert await ask(access, "good") == 200
    assert await ask(access, "other") == 403
    assert await ask(access, "forged") == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic good", "Bearer " + "x" * 20_000])
async def test_what_is_no_bearer_token_is_refused_unasked(
    access: ScrapeAccess, reviews: Reviews, header: str
) -> None:
    assert await access.check(header, "/metrics") == 401
    assert not reviews.asked


async def test_a_decision_is_good_for_a_while_and_no_longer(
    access: ScrapeAccess, reviews: Reviews, clock: Clock
) -> None:
    await ask(access, "good")
    clock.now += ALLOWED_FOR - 1
    assert await ask(access, "good") == 200
    assert len(reviews.asked) == 2
    clock.now += 2
    reviews.allowed.clear()
    assert await ask(access, "good") == 403
    clock.now += DENIED_FOR + 1
    reviews.allowed.add("prometheus")
    assert await ask(access, "good") == 200


async def test_scrapes_at_once_are_one_question(access: ScrapeAccess, reviews: Reviews) -> None:
    assert await asyncio.gather(*(ask(access, "good") for _ in range(50))) == [200] * 50
    assert reviews.asked == ["TokenReview", "SubjectAccessReview"]


async def test_one_that_gives_up_takes_no_decision_from_the_others(access: ScrapeAccess) -> None:
    first = asyncio.create_task(ask(access, "good"))
    second = asyncio.create_task(ask(access, "good"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 200


async def test_who_was_let_in_is_let_in_while_the_api_server_is_away(
    access: ScrapeAccess, reviews: Reviews, clock: Clock
) -> None:
    await ask(access, "good")
    await ask(access, "other")
    reviews.error = ApiError(0, "Unreachable", "nobody there")
    clock.now += OUTAGE - 1
    assert await ask(access, "good") == 200
    assert await ask(access, "other") == 503
    assert await ask(access, "new") == 503
    clock.now += 2
    assert await ask(access, "good") == 503
    reviews.error = None
    assert await ask(access, "good") == 200


async def test_an_answer_that_hangs_costs_seconds_and_no_decision(
    access: ScrapeAccess, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return await asyncio.Future()

    monkeypatch.setattr(scrape_access, "PATIENCE", 0.01)
    monkeypatch.setattr(reviews, "review", hang)
    assert await ask(access, "good") == 503


async def test_guessing_tokens_costs_the_api_server_little_and_throws_nobody_out(
    access: ScrapeAccess, reviews: Reviews, clock: Clock
) -> None:
    await ask(access, "good")
    clock.now += ALLOWED_FOR + 1
    before = len(reviews.asked)
    answers = [await ask(access, f"guess-{number}") for number in range(5000)]
    assert set(answers) == {401, 503}
    assert len(reviews.asked) - before <= scrape_access.REVIEWS_PER_SECOND
    assert await ask(access, "good") == 200


async def test_decisions_are_bounded_in_number(access: ScrapeAccess, clock: Clock) -> None:
    await ask(access, "good")
    for number in range(3 * scrape_access.MAX_DECISIONS):
        clock.now += 0.2
        await ask(access, f"guess-{number}")
    assert len(access._denied) == scrape_access.MAX_DECISIONS
    assert len(access._allowed) == 1
    assert not access._asking
