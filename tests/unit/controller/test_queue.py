"""The work queue: deduplicated, urgent first, and patient with what fails."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantprofile.controller.queue import LONGEST_DELAY, Priority, WorkQueue

HIGH, LOW = Priority.HIGH, Priority.LOW


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def taken(queue: WorkQueue) -> list[str]:
    keys = []
    while True:
        try:
            key, _ = await asyncio.wait_for(queue.get(), 0.01)
        except TimeoutError:
            return keys
        keys.append(key)
        queue.done(key)


async def test_an_urgent_key_overtakes_a_fan_out() -> None:
    queue = WorkQueue(Clock())
    for index in range(1000):
        queue.add(f"fan-out-{index}", LOW)
    queue.add("new", HIGH)
    queue.add("fan-out-7", HIGH)
    keys = await taken(queue)
    assert keys[:2] == ["new", "fan-out-7"]
    assert len(keys) == 1001


async def test_a_worker_for_urgent_keys_is_free_while_a_fan_out_waits() -> None:
    queue = WorkQueue(Clock())
    queue.add("fan-out", LOW)
    urgent = asyncio.ensure_future(queue.get(HIGH))
    await asyncio.sleep(0.01)
    assert not urgent.done()
    queue.add("new", HIGH)
    assert await urgent == ("new", HIGH)
    queue.done("new")
    assert await taken(queue) == ["fan-out"]


async def test_a_key_is_worked_on_once_however_often_it_is_added() -> None:
    queue = WorkQueue(Clock())
    for priority in (LOW, HIGH, LOW, HIGH):
        queue.add("a", priority)
    assert await taken(queue) == ["a"]


async def test_a_key_added_while_it_is_worked_on_runs_once_more_and_never_twice_at_a_time() -> None:
    queue = WorkQueue(Clock())
    queue.add("a", LOW)
    key, _ = await queue.get()
    queue.add("a", LOW)
    queue.add("a", HIGH)
    assert await taken(queue) == []
    queue.done(key)
    assert await taken(queue) == ["a"]


async def test_a_failing_key_waits_longer_each_time_and_holds_up_no_other() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    delays = [queue.backoff("bad") for _ in range(12)]
    assert delays[0] <= 0.5
    assert LONGEST_DELAY / 2 <= delays[-1] <= LONGEST_DELAY
    queue.add("good", LOW)
    assert await taken(queue) == ["good"]
    clock.now = 1.0
    assert await taken(queue) == ["bad"]  # the earliest wish counts
    queue.forget("bad")
    assert queue.backoff("bad") <= 0.5
    assert queue.backoff("asked", at_least=30.0) >= 30.0


async def test_the_age_of_the_oldest_urgent_key_is_known() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add("slow", LOW)
    clock.now = 50.0
    assert queue.oldest() == 0.0
    queue.add("urgent", HIGH)
    clock.now = 80.0
    assert queue.oldest() == 30.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "work", "later"])), max_size=40))
def test_no_wish_is_lost(steps: list[tuple[str, str]]) -> None:
    async def run() -> None:
        clock = Clock()
        queue = WorkQueue(clock)
        wanted: set[str] = set()
        for key, step in steps:
            if step == "add":
                queue.add(key, LOW)
                wanted.add(key)
            elif step == "later":
                queue.add_after(key, 5.0)
                wanted.add(key)
            elif len(queue):
                found, _ = await queue.get()
                wanted.discard(found)
                queue.add(key, HIGH)
                wanted.add(key)
                queue.done(found)
        clock.now = 10.0
        assert wanted <= set(await taken(queue))

    asyncio.run(run())
