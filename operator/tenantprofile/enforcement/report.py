"""The verdicts as rows for a person and as data for a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenantprofile.enforcement.attempts import LANES, Lane
from tenantprofile.enforcement.judgement import CheckResult, LaneResult, Verdict, worst


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run. nodes: where the two pods were; seconds: how long all of it took."""

    results: tuple[CheckResult, ...]
    lanes: tuple[Lane, ...]
    server: str
    image: str
    nodes: Mapping[str, str]
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        return worst([result.verdict for result in self.results])

    @property
    def enforced(self) -> bool:
        return self.verdict is Verdict.ENFORCED


def header(report: Report) -> tuple[str, ...]:
    return ("check", *map(str, _shown_lanes(report)), "after")


def rows(report: Report) -> Iterator[tuple[str, ...]]:
    """One row for each check, one cell for each lane."""
    for result in report.results:
        verdicts = {lane.lane: str(lane.verdict) for lane in result.lanes}
        cells = (verdicts.get(lane, "-") for lane in _shown_lanes(report))
        yield result.check.name, *cells, _seconds(result.seconds)


def details(report: Report) -> Iterator[str]:
    """What is behind each verdict that is not `enforced`; lanes with the same story in one line."""
    for result in report.results:
        told: dict[str, list[Lane]] = {}
        for lane in result.lanes:
            if lane.verdict is not Verdict.ENFORCED:
                told.setdefault(_story(lane), []).append(lane.lane)
        for story, lanes in told.items():
            where = "" if len(lanes) == len(result.lanes) else f" ({', '.join(map(str, lanes))})"
            yield f"{result.check.name}{where}: {story}"
        if result.check.rule and any(lane.through or lane.blocked for lane in result.lanes):
            yield f"  tenantprofile lint --select {result.check.rule} finds policies for which this matters"


def summary(report: Report) -> str:
    counts = dict.fromkeys(Verdict, 0)
    for result in report.results:
        counts[result.verdict] += 1
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    everything = "everything that was checked is enforced"
    return everything if report.enforced else f"{len(report.results)} checks: {told}"


def as_data(report: Report) -> dict[str, Any]:
    return {
        "kind": "EnforcementReport",
        "verdict": _camel(report.verdict),
        "server": report.server,
        "image": report.image,
        "nodes": dict(report.nodes),
        "seconds": round(report.seconds, 1),
        "checks": [_check_data(result) for result in report.results],
        "notes": list(report.notes),
    }


def _check_data(result: CheckResult) -> dict[str, Any]:
    return {
        "name": result.check.name,
        "title": result.check.title,
        "verdict": _camel(result.verdict),
        "inForceAfterSeconds": None if result.seconds is None else round(result.seconds, 1),
        "lintRule": result.check.rule or None,
        "lanes": [
            {
                "protocol": lane.lane.protocol,
                "family": f"IPv{lane.lane.family}",
                "verdict": _camel(lane.verdict),
                "openAgainstPolicies": list(lane.through),
                "blockedAgainstPolicies": list(lane.blocked),
                "reason": lane.reason or None,
            }
            for lane in result.lanes
        ],
    }


def _story(lane: LaneResult) -> str:
    parts = []
    if lane.through:
        parts.append(f"open although no policy allows it: {_ports(lane.through)}")
    if lane.blocked:
        parts.append(f"blocked although a policy allows it: {_ports(lane.blocked)}")
    if lane.reason:
        parts.append(lane.reason)
    return "; ".join(parts)


def _ports(numbers: Sequence[int]) -> str:
    return f"port{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _shown_lanes(report: Report) -> tuple[Lane, ...]:
    there = {lane.lane for result in report.results for lane in result.lanes}
    return tuple(lane for lane in LANES if lane in there)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def _camel(verdict: Verdict) -> str:
    first, *others = str(verdict).split()
    return first + "".join(map(str.capitalize, others))
