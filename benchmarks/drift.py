"""Drift: one edit or deletion at a time, then a thousand edits at once."""

from __future__ import annotations

import asyncio
import random
import time

from benchmarks import content
from benchmarks.content import encoded
from benchmarks.figures import Results, percentile
from benchmarks.record import Sighting
from benchmarks.stage import Stage
from benchmarks.wire import MERGE, Request, version_in
from client import policies_of

_OPEN = encoded({"spec": {"ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}})


def _places(stage: Stage, count: int, seed: int) -> list[tuple[str, str]]:
    """Distinct policies of the profile, chosen at random."""
    places = [
        (namespace, f"{content.PROFILE}.{rule}")
        for namespace in stage.content.selected()
        for rule in content.RULES
    ]
    return random.Random(seed).sample(places, min(count, len(places)))


def _edit(namespace: str, name: str) -> Request:
    return Request("PATCH", f"{policies_of(namespace)}/{name}", _OPEN, MERGE, manager="kubectl-edit")


async def drift(stage: Stage, results: Results) -> None:
    """Edit, delete and bare write in turn; the window is what an independent watcher saw of it."""
    await stage.ensure_protected()
    if not all(bare.version for bare in stage.bare):
        await stage.floor_creates()
    count = stage.options.samples
    stage.say(f"drift: {count} edits and {count} deletions, one after the other")
    edited: list[float] = []
    edited_sent: list[float] = []
    deleted: list[float] = []
    bare: list[float] = []
    places = _places(stage, 2 * count, stage.options.seed)
    half = len(places) // 2
    for edit, deletion in zip(places[:half], places[half:], strict=False):
        bare.append(await stage.one_bare_update())
        await asyncio.sleep(0.02)
        for place, request in (
            (edit, _edit(*edit)),
            (deletion, Request("DELETE", f"{policies_of(deletion[0])}/{deletion[1]}")),
        ):
            mark = stage.policies.mark()
            sent = time.monotonic()
            await stage.admin.send(request)
            await stage.policies.grows(mark, 2, within=60, every=0.002, what="repairs")
            seen = stage.policies.since(mark)
            assert [(s.namespace, s.name) for s in seen] == [place] * 2
            (edited if place is edit else deleted).append(seen[1].at - seen[0].at)
            if place is edit:
                edited_sent.append(seen[1].at - sent)
            await asyncio.sleep(0.02)
    write = percentile(bare, 0.5)
    results.put(
        repair_ratio=percentile(edited, 0.5) / write,
        restore_ratio=percentile(deleted, 0.5) / write,
        repair_sent_ratio=percentile(edited_sent, 0.5) / write,
        repair_p50=percentile(edited, 0.5) * 1000,
        repair_p99=percentile(edited, 0.99) * 1000,
        restore_p50=percentile(deleted, 0.5) * 1000,
        restore_p99=percentile(deleted, 0.99) * 1000,
        bare_write_p50=write * 1000,
    )


async def storm(stage: Stage, results: Results) -> None:
    """As many edits as connections allow, each of another policy; until all are repaired."""
    await stage.ensure_protected()
    if not all(bare.version for bare in stage.bare):
        await stage.floor_creates()
    places = _places(stage, stage.options.storm, stage.options.seed + 1)
    # The same edits and the same repairs, bare.
    bare = [stage.bare[number % len(stage.bare)] for number in range(min(len(places), len(stage.bare)))]
    mark = stage.policies.mark()
    answers = await stage.admin.send_all(_edit(one.namespace, one.name) for one in bare)
    for one, answer in zip(bare, answers, strict=True):
        one.version = version_in(answer)
    await stage.policies.grows(mark, len(bare), within=stage.options.patience)
    edits = stage.policies.since(mark)
    start, end = await stage.bare_updates(len(bare))
    floor = (end - start + edits[-1].at - edits[0].at) / len(bare)
    stage.say(f"storm: {len(places)} edits at once")
    mark = stage.policies.mark()
    await stage.admin.send_all(_edit(*place) for place in places)
    await stage.policies.grows(mark, 2 * len(places), within=120, what="edits and repairs")
    seen = stage.policies.since(mark)
    windows = _windows(seen)
    assert len(windows) == len(places)
    total = seen[-1].at - seen[0].at
    results.put(
        storm_ratio=floor * len(places) / total,
        storm_edits=len(places),
        storm_total=total,
        storm_p50=percentile(windows, 0.5) * 1000,
        storm_p99=percentile(windows, 0.99) * 1000,
    )


def _windows(seen: list[Sighting]) -> list[float]:
    """For each policy, how long its edit was in force."""
    edited: dict[tuple[str, str], float] = {}
    windows = []
    for sighting in seen:
        key = sighting.namespace, sighting.name
        if key in edited:
            windows.append(sighting.at - edited[key])
        else:
            edited[key] = sighting.at
    return windows
