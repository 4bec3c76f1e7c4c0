"""One template change on all policies: as fast as bare updates, and no namespace without its policies."""

from __future__ import annotations

import time
from collections.abc import Iterable

from benchmarks import content
from benchmarks.figures import Results
from benchmarks.record import Sighting
from benchmarks.stage import Stage, median, rate, ratio_to_floor
from client import TEMPLATES

_generation = 1


async def change_template(stage: Stage) -> None:
    """Make every policy of the profile differ from what is there."""
    global _generation
    _generation += 1
    stage.client.apply(TEMPLATES, content.template(_generation), manager="platform-team")


async def rollout(stage: Stage, results: Results) -> None:
    """Floor, operator, floor, operator, …: medians of both; the record proves what was in place."""
    await stage.ensure_protected()
    rounds = stage.rounds
    await stage.floor_updates()
    floors = [await stage.floor_updates()]
    rates: list[float] = []
    first: list[float] = []
    whole: list[float] = []
    cpu: list[float] = []
    missing = 0
    for number in range(rounds):
        stage.say(f"template change: {stage.policies_wanted} policies, round {number + 1} of {rounds}")
        await stage.running.quiet()
        mark = stage.policies.mark()
        sent = time.monotonic()
        await change_template(stage)
        await stage.policies.grows(mark, stage.policies_wanted, within=stage.options.patience, what="updates")
        seen = stage.policies.since(mark)
        missing += not_in_place(seen)
        rates.append(rate(seen))
        first.append(seen[0].at - sent)
        whole.append(seen[-1].at - sent)
        start, end = (stage.running.cpu_at(s.at) for s in (seen[0], seen[-1]))
        cpu.append((end - start) / len(seen) * 1000)
        await stage.until_settled()
        await stage.running.quiet()
        floors.append(await stage.floor_updates())
    results.put(
        rollout_ratio=ratio_to_floor(rates, floors),
        rollout_rate=median(rates),
        rollout_floor=median(floors),
        rollout_seconds=median(whole),
        rollout_first_write=median(first),
        rollout_cpu=median(cpu),
        rollout_missing=missing,
    )


def not_in_place(seen: Iterable[Sighting]) -> int:
    """Events that left a policy missing, or as neither the old nor the new template has it."""
    specs: dict[tuple[str, str], str] = {}
    wrong = 0
    for sighting in seen:
        key = sighting.namespace, sighting.name
        known = specs.setdefault(key, sighting.spec)
        wrong += sighting.type != "MODIFIED" or known != sighting.spec
    # One generation for all: whatever entry it is, its new spec is the same in every namespace.
    wrong += len({(name, spec) for (_, name), spec in specs.items()}) - len({name for _, name in specs})
    return wrong
