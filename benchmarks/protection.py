"""How long a new namespace is open: at rest, beside the bare sequence, and during a fan-out.

From the moment the namespace's POST is sent until the watcher has received its last policy; the same
for the bare client, which creates the namespace and then its policies one after the other.
"""

from __future__ import annotations

import asyncio
import itertools
import time

from benchmarks import content
from benchmarks.content import encoded, namespace
from benchmarks.figures import Results, percentile
from benchmarks.record import Mark, Overdue
from benchmarks.rollout import change_template
from benchmarks.stage import Stage
from benchmarks.wire import Request
from client import NAMESPACES, policies_of

_serial = itertools.count(1)
SPACING = 0.04
"""Seconds between two new namespaces during a fan-out."""
MAX_FANOUTS = 6


async def protection(stage: Stage, results: Results) -> None:
    await stage.ensure_protected()
    count = stage.options.samples
    stage.say(f"time to protected: {count} new namespaces at rest, each beside a bare sequence")
    rest: list[float] = []
    bare: list[float] = []
    for _ in range(3):  # the connections of all clients are open
        await _bare_sequence(stage)
        await _new_namespace(stage)
    for number in range(count):
        for measure, values in ((_bare_sequence, bare), (_new_namespace, rest))[:: 1 if number % 2 else -1]:
            values.append(await measure(stage))
            await asyncio.sleep(0.03)
    results.put(
        protect_p50_ratio=percentile(rest, 0.5) / percentile(bare, 0.5),
        protect_p99_ratio=percentile(rest, 0.99) / percentile(bare, 0.5),
        protect_p50=percentile(rest, 0.5) * 1000,
        protect_p95=percentile(rest, 0.95) * 1000,
        protect_p99=percentile(rest, 0.99) * 1000,
        protect_bare_p50=percentile(bare, 0.5) * 1000,
        protect_bare_p99=percentile(bare, 0.99) * 1000,
    )
    during = await _during_fanouts(stage, count)
    if not during:
        stage.say("time to protected: too small a cluster to do anything during its fan-out")
        return
    results.put(
        protect_fanout_ratio=percentile(during, 0.5) / percentile(rest, 0.5),
        protect_fanout_p99_ratio=percentile(during, 0.99) / percentile(rest, 0.99),
        protect_fanout_p50=percentile(during, 0.5) * 1000,
        protect_fanout_p95=percentile(during, 0.95) * 1000,
        protect_fanout_p99=percentile(during, 0.99) * 1000,
    )


async def _bare_sequence(stage: Stage) -> float:
    name = f"bare-{next(_serial):05d}"
    mark = stage.policies.mark()
    sent = time.monotonic()
    await stage.admin.send(Request("POST", NAMESPACES, encoded(namespace(name, {"tenancy": "none"}))))
    for _, body in stage.bodies:
        await stage.wire.send(Request("POST", policies_of(name), encoded(body)))
    return await _last_policy(stage, mark) - sent


async def _new_namespace(stage: Stage) -> float:
    name = f"late-{next(_serial):05d}"
    mark = stage.policies.mark()
    sent = time.monotonic()
    await stage.admin.send(Request("POST", NAMESPACES, encoded(namespace(name, content.SELECTED))))
    return await _last_policy(stage, mark) - sent


async def _last_policy(stage: Stage, mark: Mark) -> float:
    await stage.policies.grows(mark, len(content.RULES), within=60, every=0.002, what="policies")
    return stage.policies.since(mark)[-1].at


async def _during_fanouts(stage: Stage, count: int) -> list[float]:
    """New namespaces while every policy of the cluster is being updated, as often as it takes."""
    took: list[float] = []
    for number in range(MAX_FANOUTS):
        if len(took) >= count:
            break
        stage.say(f"time to protected: during fan-out {number + 1} ({len(took)} of {count} so far)")
        await stage.running.quiet(within=10)
        mark = stage.policies.mark()
        await change_template(stage)
        await stage.policies.grows(mark, 5, within=60, every=0.002, what="updates")
        sent: dict[str, float] = {}
        updates = max(stage.policies_wanted - 5 * stage.options.connections, stage.policies_wanted // 2)
        while stage.policies.lines() - mark.lines < updates and len(took) + len(sent) < 2 * count:
            name = f"late-{next(_serial):05d}"
            sent[name] = time.monotonic()
            request = Request("POST", NAMESPACES, encoded(namespace(name, content.SELECTED)))
            await stage.admin.send(request)
            await asyncio.sleep(SPACING)
        await stage.until_settled()
        await stage.running.quiet(within=10)
        added: dict[str, list[float]] = {name: [] for name in sent}
        last_update = 0.0
        for seen in stage.policies.since(mark):
            if seen.namespace in added and seen.type == "ADDED":
                added[seen.namespace].append(seen.at)
            elif seen.type == "MODIFIED" and seen.namespace not in added:
                last_update = seen.at
        for name, times in added.items():
            if len(times) != len(content.RULES):
                raise Overdue(f"{name} has {len(times)} policies")
            if sent[name] < last_update:  # the others came when the fan-out was over
                took.append(times[-1] - sent[name])
    return took
