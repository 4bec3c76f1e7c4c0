"""From what was seen under a step's policies to a verdict for each check and lane.

`not enforced` is what matters for security: something came through that must not. `too strict` is the
other way round: nothing forbidden came through, but something allowed did not either. `unknown` is
never taken for a good sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tenantprofile.enforcement.attempts import PORTS, Attempt, Lane, Round
from tenantprofile.enforcement.plan import Check, Step


class Verdict(StrEnum):
    """From the worst on."""

    NOT_ENFORCED = "not enforced"
    TOO_STRICT = "too strict"
    UNKNOWN = "unknown"
    ENFORCED = "enforced"


_WORST = list(Verdict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a step: the last rounds, oldest first, and after how long they were right.

    seconds: None where they were not right until the end. skipped: why the step was not tried,
    because it cannot but fail.
    """

    step: Step
    rounds: tuple[Round, ...] = ()
    seconds: float | None = None
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class LaneResult:
    """The verdict for one check in one lane. through: open against the policies; blocked: shut against them."""

    lane: Lane
    verdict: Verdict
    through: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The verdict for one check. seconds: after how long its policies were in force, at most."""

    check: Check
    lanes: tuple[LaneResult, ...]
    seconds: float | None

    @property
    def verdict(self) -> Verdict:
        return worst([lane.verdict for lane in self.lanes])


def expected(step: Step, lane: Lane) -> frozenset[str]:
    """The keys of the attempts that have to succeed in a lane."""
    return frozenset(Attempt(lane, port).key for protocol, port in step.open if protocol == lane.protocol)


def everything(lanes: Sequence[Lane]) -> frozenset[str]:
    """The keys of all attempts."""
    return frozenset(Attempt(lane, port).key for lane in lanes for port in PORTS)


def is_right(step: Step, lanes: Sequence[Lane], seen: Round) -> bool:
    """Whether a round shows exactly what the step's policies say."""
    return seen.open & everything(lanes) == frozenset().union(*(expected(step, lane) for lane in lanes))


def judge(
    check: Check,
    seen: Sequence[Seen],
    lanes: Sequence[Lane],
    unusable: Mapping[Lane, str],
    before: Sequence[CheckResult],
) -> CheckResult:
    """A check's verdict. unusable: lanes that tell nothing, and why. before: results so far."""
    needed = next((result for result in before if result.check.name == check.needs), None)
    found = []
    for lane in (*lanes, *unusable):
        if lane in unusable:
            found.append(LaneResult(lane, Verdict.UNKNOWN, reason=unusable[lane]))
            continue
        result = _judge_lane(seen, lane)
        if needed is not None and result.verdict is not Verdict.NOT_ENFORCED:
            result = _unless_needed_fails(result, needed)
        found.append(result)
    known = [one.seconds for one in seen if one.seconds is not None]
    took = max(known) if len(known) == len(seen) else None
    return CheckResult(check, tuple(sorted(found, key=lambda one: one.lane)), took)


def is_open_altogether(result: CheckResult) -> bool:
    """Whether nothing at all was held back in any lane that tells something."""
    told = [lane for lane in result.lanes if not lane.reason]
    return bool(told) and all(lane.through == PORTS for lane in told)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that counts for all of them together; unknown where there is none."""
    return min(verdicts, key=_WORST.index, default=Verdict.UNKNOWN)


def _judge_lane(seen: Sequence[Seen], lane: Lane) -> LaneResult:
    through: set[int] = set()
    blocked: set[int] = set()
    unsteady = False
    for one in seen:
        wanted = expected(one.step, lane)
        for port in PORTS:
            key = Attempt(lane, port).key
            answers = {key in seen_round.open for seen_round in one.rounds}
            if key not in wanted and True in answers:
                through.add(port)
            elif key in wanted and answers == {False}:
                blocked.add(port)
            elif len(answers) > 1:
                unsteady = True
    skipped = next((one.skipped for one in seen if one.skipped), "")
    ports = tuple(sorted(through)), tuple(sorted(blocked))
    if through or skipped:
        return LaneResult(lane, Verdict.NOT_ENFORCED, *ports, skipped)
    if blocked:
        return LaneResult(lane, Verdict.TOO_STRICT, *ports)
    if unsteady:
        return LaneResult(lane, Verdict.UNKNOWN, reason="answers kept changing until the end")
    return LaneResult(lane, Verdict.ENFORCED)


def _unless_needed_fails(result: LaneResult, needed: CheckResult) -> LaneResult:
    verdict = next((lane.verdict for lane in needed.lanes if lane.lane == result.lane), Verdict.UNKNOWN)
    if verdict is Verdict.ENFORCED:
        return result
    reason = f"cannot be told where {needed.check.name} is {verdict}"
    return LaneResult(result.lane, Verdict.UNKNOWN, blocked=result.blocked, reason=reason)
