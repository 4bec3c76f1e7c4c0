"""Adoption: a cluster full of namespaces meets the operator for the first time."""

from __future__ import annotations

import asyncio

from benchmarks.figures import Results
from benchmarks.stage import Stage, median, rate, ratio_to_floor


async def adoption(stage: Stage, results: Results) -> None:
    """Floor, operator, floor, operator, …: medians of both."""
    rounds = stage.rounds
    stage.say("adoption: warming the API server up")
    await stage.floor_creates()
    floors = [await stage.floor_creates()]
    rates: list[float] = []
    first: list[float] = []
    whole: list[float] = []
    start_cpu: list[float] = []
    cpu: list[float] = []
    total: list[float] = []
    for number in range(rounds):
        stage.say(f"adoption: {stage.policies_wanted} policies, round {number + 1} of {rounds}")
        if stage.meter is not None:
            await stage.stop_operator()
        if number:
            await stage.remove_policies(stage.content.selected())
            floors.append(await stage.floor_creates())
        mark = stage.policies.mark()
        await stage.start_operator()
        await stage.policies.grows(
            mark, stage.policies_wanted, within=stage.options.patience, what="policies"
        )
        seen = stage.policies.since(mark)
        assert {s.type for s in seen} == {"ADDED"}, "adoption only creates"
        assert len({(s.namespace, s.name) for s in seen}) == stage.policies_wanted
        rates.append(rate(seen))
        first.append(seen[0].at - stage.started_at)
        whole.append(seen[-1].at - stage.started_at)
        start, end = (stage.running.cpu_at(s.at) for s in (seen[0], seen[-1]))
        start_cpu.append(start)
        cpu.append((end - start) / len(seen) * 1000)
        del seen
        await stage.until_settled()
        await asyncio.sleep(2.0)
        settled = await stage.running.quiet()
        total.append(settled.cpu)
        results.put(memory_peak=settled.peak / 1e6, memory_adopted=settled.rss / 1e6)
    floors.append(await stage.floor_creates())
    results.put(
        adoption_ratio=ratio_to_floor(rates, floors),
        adoption_rate=median(rates),
        adoption_floor=median(floors),
        adoption_seconds=median(whole),
        adoption_first_write=median(first),
        adoption_start_cpu=median(start_cpu),
        adoption_cpu=median(cpu),
        adoption_cpu_total=median(total),
    )
