"""What metrics cost: adoptions by an operator that is scraped each second and by one without metrics, in turn."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator

from benchmarks.figures import Results
from benchmarks.stage import Stage, median, rate
from controlplane.process import free_ports

EVERY = 1.0
"""Seconds between two scrapes: fifteen to thirty times as many as usual."""


async def metrics(stage: Stage, results: Results) -> None:
    """Pairs of adoptions, with and without, each first in every other pair; medians of the ratios within a pair."""
    (port,) = free_ports(1)
    without = stage.operator
    with_metrics = without.variant(f"--metrics-port={port}")
    pairs: list[dict[bool, tuple[float, float]]] = []
    for number in range(stage.rounds):
        pair = {}
        for measured in (True, False) if number % 2 else (False, True):
            name = "with" if measured else "without"
            stage.say(f"metrics: adoption {name} metrics, pair {number + 1} of {stage.rounds}")
            if stage.meter is not None:
                await stage.stop_operator()
            await stage.remove_policies(stage.content.selected())
            stage.operator = with_metrics if measured else without
            async with _scraping(port) if measured else contextlib.nullcontext():
                pair[measured] = await _adopt(stage)
        pairs.append(pair)
    await stage.stop_operator()
    stage.operator = without
    results.put(
        metrics_rate_ratio=median(pair[True][0] / pair[False][0] for pair in pairs),
        metrics_cpu_ratio=median(pair[True][1] / pair[False][1] for pair in pairs),
    )


async def _adopt(stage: Stage) -> tuple[float, float]:
    """Policies per second, and seconds of CPU for all of them."""
    mark = stage.policies.mark()
    await stage.start_operator()
    await stage.policies.grows(mark, stage.policies_wanted, within=stage.options.patience, what="policies")
    seen = stage.policies.since(mark)
    start, end = (stage.running.cpu_at(s.at) for s in (seen[0], seen[-1]))
    await stage.until_settled()
    return rate(seen), end - start


@contextlib.asynccontextmanager
async def _scraping(port: int) -> AsyncIterator[None]:
    """Scrape again and again meanwhile."""

    def scrape() -> None:
        with (
            contextlib.suppress(OSError),  # not started yet
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer,
        ):
            answer.read()

    async def run() -> None:
        while True:
            await asyncio.to_thread(scrape)
            await asyncio.sleep(EVERY)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
