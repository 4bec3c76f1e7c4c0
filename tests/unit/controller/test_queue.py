"""The work queue: deduplicated, urgent first, and patient with what fails."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantprofile.controller.queue import Priority, WorkQueue
from tenantprofile.settings import BUSY_BURST, BUSY_RATE, LONGEST_DELAY

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
    assert await taken(queue) == ["bad"]  # at the earliest of the times
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


async def test_a_key_keeps_its_priority_when_it_fails() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    for index in range(1000):
        queue.add(f"fan-out-{index}", LOW)
    for _ in range(1000):  # the API server is away for a moment
        key, _ = await queue.get()
        queue.backoff(key)
        queue.done(key)
    clock.now = 1.0
    queue.add("new", HIGH)
    assert await queue.get() == ("new", HIGH)
    assert (queue.waiting(HIGH), queue.waiting(LOW)) == (0, 1000)


async def test_a_thousand_urgent_keys_that_fail_never_stand_before_one_new_namespace() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    for index in range(1000):
        queue.add(f"bad-{index}", HIGH)
    for _ in range(1000):
        key, priority = await queue.get()
        assert priority is HIGH
        queue.backoff(key)
        queue.done(key)
    clock.now = 200.0
    assert queue.oldest() == 0.0
    queue.add("new", HIGH)
    assert await queue.get() == ("new", HIGH)
    assert queue.waiting(HIGH) == 1000
    clock.now = 500.0
    assert queue.oldest() == 0.0  # the failing ones have been tried


async def test_looking_again_is_not_urgent() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after("conflict", 30.0)
    clock.now = 30.0
    assert await queue.get() == ("conflict", LOW)


async def test_of_two_times_the_earlier_is_kept_and_of_two_priorities_the_higher() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add("a", HIGH)
    key, _ = await queue.get()
    queue.add_after(key, 0.1, LOW)
    queue.backoff(key, at_least=60.0)
    queue.done(key)
    clock.now = 0.2
    assert await queue.get() == ("a", HIGH)


async def test_one_key_wakes_one_worker() -> None:
    queue = WorkQueue(Clock())
    looks = 0
    promote = queue._promote

    def counted() -> None:
        nonlocal looks
        looks += 1
        promote()

    queue._promote = counted  # type: ignore[method-assign]
    done: list[str] = []

    async def worker(lowest: Priority) -> None:
        while True:
            key, _ = await queue.get(lowest)
            done.append(key)
            queue.done(key)

    workers = [asyncio.create_task(worker(LOW if n % 3 else HIGH)) for n in range(48)]
    await asyncio.sleep(0)
    looks = 0
    for index in range(20):
        queue.add(f"{index}", HIGH if index % 2 else LOW)
        while len(done) <= index:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert looks <= 3 * 20
    for task in workers:
        task.cancel()


async def test_a_key_that_only_others_may_take_is_not_left_lying() -> None:
    queue = WorkQueue(Clock())
    done: list[str] = []
    hold = asyncio.Event()

    async def worker(lowest: Priority) -> None:
        while True:
            key, _ = await queue.get(lowest)
            done.append(key)
            await hold.wait()
            queue.done(key)

    workers = [asyncio.create_task(worker(lowest)) for lowest in (LOW, LOW, HIGH)]
    await asyncio.sleep(0)
    queue.add("low", LOW)  # wakes a worker, which takes the next one in its place
    queue.add("high", HIGH)
    for _ in range(10):
        await asyncio.sleep(0)
    assert sorted(done) == ["high", "low"]
    for task in workers:
        task.cancel()


async def test_a_worker_that_ends_when_it_was_woken_hands_the_key_on() -> None:
    queue = WorkQueue(Clock())
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a", LOW)
    first.cancel()
    assert await asyncio.wait_for(second, 1.0) == ("a", LOW)


async def test_the_first_success_wakes_what_had_failed_for_the_same_reason() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    for index in range(300):
        queue.add(f"ns-{index}", LOW)
    for _ in range(300):
        key, _ = await queue.get()
        queue.backoff(key, 100.0, ["other" if key == "ns-7" else "403 Forbidden"])
        queue.done(key)
    clock.now = 1.0
    queue.add("ns-3", LOW)
    key, _ = await queue.get()
    for cause in queue.forget(key):
        assert queue.wake_failed(cause) == 298
    queue.done(key)
    assert queue.wake_failed("403 Forbidden") == 0  # a moment later
    clock.now = 3.0
    assert set(await taken(queue)) == {f"ns-{n}" for n in range(300)} - {"ns-3", "ns-7"}


async def test_a_key_that_asks_all_the_time_waits_and_no_other_does() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    worked = 0
    for _ in range(1000):  # a tenant rewrites an annotation a hundred times a second
        clock.now += 0.01
        queue.add("busy", HIGH, limited=True)
        if queue.waiting(HIGH):
            key, _ = await queue.get()
            assert key == "busy"
            queue.done(key)
            worked += 1
    assert worked <= BUSY_BURST + 10 * BUSY_RATE + 1
    queue.add("busy", HIGH)
    queue.add("other", HIGH, limited=True)
    assert await taken(queue) == ["busy", "other"]
    queue.add("busy", HIGH, limited=True)
    clock.now += 1 / BUSY_RATE
    assert await taken(queue) == ["busy"]  # nothing is lost


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
