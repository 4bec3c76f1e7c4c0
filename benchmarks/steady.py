"""Nothing changes: what a restart costs, what standing by costs, and that neither writes anything."""

from __future__ import annotations

import asyncio

from benchmarks.figures import Results
from benchmarks.stage import Stage, moment, writes


async def restart(stage: Stage, results: Results) -> None:
    """Stop and start; a start that finds everything in order leaves no trace but its lease."""
    await stage.ensure_protected()
    await stage.stop_operator()
    stage.say("restart with nothing changed")
    await asyncio.sleep(0.5)
    since = moment()
    await stage.start_operator()
    ready = await stage.until_ready()
    await asyncio.sleep(1.5)
    at_rest = await stage.running.quiet()
    # Whatever is done once after a start has been done by now.
    await asyncio.sleep(3.0)
    requests = stage.requests_since(since)
    at_rest = stage.running.now() if stage.running.now().cpu - at_rest.cpu > 0.3 else at_rest
    results.put(
        restart_ready=ready,
        restart_cpu=at_rest.cpu,
        restart_writes=writes(requests),
        restart_requests=requests.total(),
        memory_rest=stage.running.now().rss / 1e6,
        memory_restart_peak=stage.running.now().peak / 1e6,
    )


async def rest(stage: Stage, results: Results) -> None:
    """Stand by for a while."""
    await stage.ensure_protected()
    seconds = stage.options.rest
    stage.say(f"at rest for {seconds:.0f} s")
    since = moment()
    before = stage.running.now()
    await asyncio.sleep(seconds)
    after = stage.running.now()
    requests = stage.requests_since(since)
    took = after.at - before.at
    results.put(
        rest_seconds=took,
        rest_cpu=(after.cpu - before.cpu) / took * 60,
        rest_requests=requests.total() / took * 60,
        rest_writes=writes(requests),
    )
