"""The referee's judgement (pure): what was stored, moment by moment, against what was wanted.

Time is counted in revisions of the store, which every object shares: no clock takes part. A `Wish` says
from which revision on a policy was to be there, and with which spec; between `begun` and `done` both the
old and the new wish are right, because the change itself was on its way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from referee import Sighting

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Wish:
    """From `done` on the policy is to have this spec (canonical JSON); None: it is not to be there."""

    begun: int
    done: int
    spec: str | None
    at: float = 0.0
    """When it was done, in seconds of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of time in which a policy was missing or other than wanted."""

    key: Key
    cause: str
    version: int
    seconds: float
    """Until it was as wanted again; infinite where that never came."""
    detail: str = ""


@dataclass(slots=True)
class Verdict:
    sightings: int = 0
    lost: list[Moment] = field(default_factory=list)
    """Moments of lost protection caused by the operator: there must be none."""
    wrong: list[Moment] = field(default_factory=list)
    """Specs that nobody wanted, or that go back to an older wish."""
    tenant: list[Moment] = field(default_factory=list)
    """Deletions and edits made by the test, until they were repaired."""
    late: int = 0
    """Writes of a wish that was not the newest any more (the operator had not heard yet)."""
    back: int = 0
    """Of these, writes that went back to an older wish than what stood there."""
    unwanted: int = 0
    """Policies created where they had just ceased to be wanted."""
    first: list[float] = field(default_factory=list)
    """Seconds from a policy's being wanted in a namespace (one of them is new there) to its being there."""

    def complaints(self, *, may_go_back: bool = False) -> list[str]:
        """Empty when the operator harmed nobody."""
        bad = self.lost + self.wrong
        lines = [f"{m.key[0]}/{m.key[1]} at {m.version}: {m.cause} {m.detail}" for m in bad]
        lines += [
            f"{m.key[0]}/{m.key[1]} at {m.version}: {m.cause}, never repaired"
            for m in self.tenant
            if m.seconds == float("inf")
        ]
        if self.back and not may_go_back:
            lines.append(f"{self.back} writes went back to an older wish")
        return lines


@dataclass(slots=True)
class _Open:
    cause: str
    at: float
    version: int
    detail: str = ""


def judge(
    sightings: Iterable[Sighting],
    wishes: Mapping[Key, list[Wish]],
    *,
    own_deletions: Collection[str],
    is_own_edit: Any,
) -> Verdict:
    """`own_deletions`: uids that the test deleted; `is_own_edit(spec)`: whether the test wrote a spec."""
    verdict = Verdict()
    by_key: dict[Key, list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        key = (sighting.namespace, sighting.name)
        if key in wishes:
            verdict.sightings += 1
            by_key[key].append(sighting)
    for key, seen in by_key.items():
        _judge_policy(verdict, key, seen, wishes[key], own_deletions, is_own_edit)
    for key, wanted in wishes.items():
        _first(verdict, wanted, by_key.get(key, []))
    return verdict


def _judge_policy(
    verdict: Verdict,
    key: Key,
    seen: list[Sighting],
    wishes: list[Wish],
    own_deletions: Collection[str],
    is_own_edit: Any,
) -> None:
    open_: _Open | None = None
    newest_written = -1
    for s in seen:
        standing = _standing(wishes, s.version)
        wanted = {wishes[i].spec for i in standing}
        if s.type == "DELETED":
            newest_written = -1
            if None in wanted:
                open_ = _close(verdict, key, open_, s.at)
            elif s.uid in own_deletions:
                open_ = open_ or _Open("deleted by the test", s.at, s.version)
            else:
                open_ = _Open("LOST: deleted while wanted", s.at, s.version)
            continue
        if is_own_edit(s.spec):
            open_ = open_ or _Open("edited by the test", s.at, s.version)
            continue
        if s.spec in wanted:
            open_ = _close(verdict, key, open_, s.at)
            newest_written = max(i for i in standing if wishes[i].spec == s.spec)
            continue
        older = [i for i in range(standing[0] if standing else 0) if wishes[i].spec == s.spec]
        if wanted == {None}:
            verdict.unwanted += 1
        elif older:
            verdict.late += 1
            if older[-1] < newest_written:
                verdict.back += 1
            newest_written = older[-1]
            open_ = _close(verdict, key, open_, s.at)
        else:
            verdict.wrong.append(
                Moment(
                    key, "WRONG: neither the old nor the new wish", s.version, 0.0, f"{s.manager}: {s.spec}"
                )
            )
    if open_ is not None:
        if wishes[-1].spec is not None:
            _close(verdict, key, open_, float("inf"))
        elif open_.cause.startswith("LOST"):
            _close(verdict, key, open_, max(open_.at, wishes[-1].at))


def _close(verdict: Verdict, key: Key, open_: _Open | None, at: float) -> None:
    if open_ is not None:
        moment = Moment(key, open_.cause, open_.version, at - open_.at, open_.detail)
        (verdict.lost if open_.cause.startswith("LOST") else verdict.tenant).append(moment)


def _standing(wishes: list[Wish], version: int) -> list[int]:
    """Indices of the wishes that may be in force at a revision."""
    done = [i for i, wish in enumerate(wishes) if wish.done <= version]
    first = done[-1] if done else 0
    return [i for i in range(first, len(wishes)) if i == first or wishes[i].begun <= version]


def _first(verdict: Verdict, wishes: list[Wish], seen: list[Sighting]) -> None:
    for previous, wish, following in zip([None, *wishes], wishes, [*wishes[1:], None], strict=False):
        if wish.spec is None or (previous is not None and previous.spec is not None):
            continue
        end = following.begun if following is not None and following.spec is None else float("inf")
        times = [s.at for s in seen if s.type == "ADDED" and wish.begun < s.version <= end]
        if times and wish.at:
            verdict.first.append(max(0.0, times[0] - wish.at))


def spread(values: Collection[float]) -> dict[str, float]:
    """Count, median, 95th and 99th percentile, and the worst."""
    finite = sorted(values)
    if not finite:
        return {"count": 0}
    if len(finite) == 1:
        finite = finite * 2
        return {"count": 1, **dict.fromkeys(("p50", "p95", "p99", "max"), round(finite[0], 3))}
    cuts = quantiles(finite, n=100, method="inclusive")
    return {
        "count": len(finite),
        "p50": round(cuts[49], 3),
        "p95": round(cuts[94], 3),
        "p99": round(cuts[98], 3),
        "max": round(finite[-1], 3),
    }
