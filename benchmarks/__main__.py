"""`python -m benchmarks`: run scenarios at several sizes, print the table, keep JSON and plots."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "dev"), str(ROOT / "operator")]

from benchmarks import growth, plot, report  # noqa: E402
from benchmarks.adoption import adoption  # noqa: E402
from benchmarks.content import RULES  # noqa: E402
from benchmarks.drift import drift, storm  # noqa: E402
from benchmarks.figures import KINDS, Results  # noqa: E402
from benchmarks.machine import describe  # noqa: E402
from benchmarks.metrics import metrics  # noqa: E402
from benchmarks.protection import protection  # noqa: E402
from benchmarks.rollout import rollout  # noqa: E402
from benchmarks.stage import Options, Stage  # noqa: E402
from benchmarks.steady import rest, restart  # noqa: E402

Scenario = Callable[[Stage, Results], Awaitable[None]]

SCENARIOS: Final[dict[str, Scenario]] = {
    "adoption": adoption,
    "restart": restart,
    "rest": rest,
    "drift": drift,
    "storm": storm,
    "rollout": rollout,
    "metrics": metrics,
    "protection": protection,
}
"""In the order in which they run: rest after restart, because the Events of an adoption are posted at a low
rate for minutes; those that add namespaces last."""

UNASKED: Final = {"metrics"}
"""Run only where they are named: a question of their own, and as long as adoption twice over."""


async def run(
    sizes: Sequence[int],
    scenarios: Sequence[str],
    options: Options,
    say: Callable[[str], None],
    keep: Callable[[dict[str, Any], list[Results]], None],
) -> None:
    """Each size in a control plane of its own; `keep` is given machine and figures after each."""
    machine: dict[str, Any] = {}
    all_results: list[Results] = []
    for size in sizes:
        results = Results(size)
        async with Stage(size, options, lambda text, size=size: say(f"{size:>6,}  {text}")) as stage:  # type: ignore[misc]
            machine = machine or await asyncio.to_thread(describe, stage.cluster)
            for name, scenario in SCENARIOS.items():
                if name in scenarios:
                    await scenario(stage, results)
        all_results.append(results)
        keep(machine, all_results)


def main() -> None:
    options, arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True)

    results: list[Results] = []

    def keep(machine: dict[str, Any], so_far: list[Results]) -> None:
        results[:] = so_far
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(_document(machine, options, so_far), indent=2) + "\n")
        if arguments.plots:
            plot.write(arguments.plots, so_far)
        if len(arguments.sizes) > len(so_far):
            say(f"so far:\n\n{report.table(so_far)}")

    asyncio.run(run(arguments.sizes, arguments.scenarios, options, say, keep))
    print(report.table(results))
    print(growth.table(results))
    missed = [
        f"{result.size:,}: {KINDS[name].title}"
        for result in results
        for name, value in result.values.items()
        if KINDS[name].met(value, result.size) is False
    ]
    if missed:
        print("Goals that this run missed:", *missed, sep="\n  ")
        if arguments.strict:
            sys.exit(1)


def _document(machine: dict[str, Any], options: Options, results: Sequence[Results]) -> dict[str, Any]:
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": machine,
        "options": asdict(options),
        "policies_per_namespace": len(RULES),
        "sizes": {str(result.size): result.values for result in results},
        "memory_bytes_per_policy": growth.bytes_per_policy(results),
    }


def _parse() -> tuple[Options, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="How fast the operator protects, and what it costs."
    )
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[100, 1000],
        help="numbers of namespaces, five policies each (100,1000)",
    )
    parser.add_argument(
        "--scenarios",
        type=lambda text: list(SCENARIOS) if text == "all" else text.split(","),
        default=[name for name in SCENARIOS if name not in UNASKED],
        help=f"all, or some of {','.join(SCENARIOS)} (all but {','.join(sorted(UNASKED))})",
    )
    parser.add_argument("--rest", type=float, default=60.0, help="seconds at rest (60)")
    parser.add_argument(
        "--samples", type=int, default=100, help="namespaces, edits and deletions timed (100)"
    )
    parser.add_argument("--storm", type=int, default=1000, help="edits at once (1000)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="repetitions; three times as many up to 200 namespaces, a third above 2,000 (3)",
    )
    parser.add_argument("--connections", type=int, default=48, help="of operator and bare client (48)")
    parser.add_argument("--seed", type=int, default=1, help="of the contents (1)")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    parser.add_argument("--plots", type=Path, help="keep the plots in this folder")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a goal is missed")
    parser.add_argument(
        "--operator-flag", action="append", default=[], help="for `tenantprofile run`; may be repeated"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    options = Options(
        seed=arguments.seed,
        connections=arguments.connections,
        operator_flags=tuple(arguments.operator_flag),
        rest=arguments.rest,
        samples=arguments.samples,
        storm=arguments.storm,
        rounds=arguments.rounds,
    )
    return options, arguments


if __name__ == "__main__":
    main()
