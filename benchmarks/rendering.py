"""What it costs to render a PolicyTemplate in a process of its own, in a fan-out over many namespaces.

    python benchmarks/rendering.py                      # 10,000 namespaces, 48 at a time
    python benchmarks/rendering.py --namespaces 1000 --json figures.json

The template prints the namespace's name, so that each namespace needs a rendering of its own. The same is rendered
in the event loop and in the process; a clock in the event loop shows for how long the loop was held up meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from tenantprofile.controller.renderer import ProcessRenderer
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.profile import parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import load_policy_template

TICK: Final = 0.001

TEMPLATE: Final = """podSelector: {}
policyTypes: [Ingress]
ingress:
  - from:
      - namespaceSelector:
          matchLabels: {kubernetes.io/metadata.name: {{ namespace.name }}}
      - namespaceSelector:
          matchLabels: {team: {{ params.team }}}
    ports: {{ params.ports | ports }}
"""


def plan() -> ProfilePlan:
    """A profile with one policy from the template."""
    properties = {"team": {"type": "string"}, "ports": {"type": "array"}}
    template = load_policy_template(
        {
            "metadata": {"name": "named"},
            "spec": {"template": TEMPLATE, "parameters": {"properties": properties}},
        }
    )
    profile = parse_profile(
        {
            "metadata": {"name": "bench", "uid": "bench"},
            "spec": {
                "namespaceSelector": {"matchLabels": {"tenant": "yes"}},
                "policies": [{"template": "named", "parameters": {"team": "web", "ports": [80, 443]}}],
            },
        }
    )
    return ProfilePlan(profile, {"named": template})


async def measure(namespaces: int, workers: int, renderer: ProcessRenderer | None) -> dict[str, Any]:
    """Seconds for all namespaces, and the longest time that the event loop was held up."""
    made = plan()
    left = iter([NamespaceFacts(f"tenant-{number}") for number in range(namespaces)])
    held_up = 0.0

    async def work() -> None:
        for facts in left:
            if renderer is not None:
                await made.prepare(renderer, facts)
            (policy,) = made.desired(facts)
            assert isinstance(policy, DesiredPolicy)
            if renderer is None:
                await asyncio.sleep(0)

    async def tick() -> None:
        nonlocal held_up
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            held_up = max(held_up, time.perf_counter() - before - TICK)

    if renderer is not None:
        await made.prepare(renderer, NamespaceFacts("first"))  # starts the process
    clock = asyncio.create_task(tick())
    processor, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    clock.cancel()
    return {
        "where": "in the event loop" if renderer is None else "in the process",
        "namespaces": namespaces,
        "seconds": round(seconds, 2),
        "ms_each": round(1000 * seconds / namespaces, 3),
        "operator_cpu_seconds": round(processor, 2),
        "loop_held_up_ms": round(1000 * held_up, 1),
    }


async def compare(namespaces: int, workers: int) -> list[dict[str, Any]]:
    """Both ways; of the process, its peak memory as well."""
    figures = [await measure(namespaces, workers, None)]
    renderer = ProcessRenderer()
    try:
        figures.append(await measure(namespaces, workers, renderer))
    finally:
        await renderer.stop()
    figures[-1]["process_peak_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--namespaces", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=48)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    arguments = parser.parse_args()
    figures = asyncio.run(compare(arguments.namespaces, arguments.workers))
    for row in figures:
        print("  ".join(f"{key}={value}" for key, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
