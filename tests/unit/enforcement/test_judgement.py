"""From rounds to verdicts: what came through is worst, and what cannot be told is no good sign."""

from __future__ import annotations

import json

import pytest

from tenantprofile.enforcement.attempts import PORTS, Attempt, Lane, Round, read_rounds
from tenantprofile.enforcement.judgement import (
    CheckResult,
    Seen,
    Verdict,
    everything,
    expected,
    is_open_altogether,
    is_right,
    judge,
)
from tenantprofile.enforcement.plan import Check, Parties, checks
from tenantprofile.enforcement.report import Report, as_data, details, header, rows, summary

TCP4, TCP6 = Lane(4, "TCP"), Lane(6, "TCP")
LANES = (TCP4, TCP6)
CHECKS = {check.name: check for check in checks(Parties("ns", ("10.0.0.1",), ("10.0.0.2",)))}
INGRESS = CHECKS["ingress"]
(STEP,) = INGRESS.steps
RIGHT = expected(STEP, TCP4) | expected(STEP, TCP6)


def seen(*rounds: frozenset[str], seconds: float | None = None, check: Check = INGRESS) -> list[Seen]:
    last = tuple(Round(number, found) for number, found in enumerate(rounds))
    return [Seen(step, last, seconds) for step in check.steps]


def judged(*rounds: frozenset[str], **others: float) -> CheckResult:
    return judge(INGRESS, seen(*rounds, **others), LANES, {}, [])


def test_what_is_right_in_every_round_is_enforced() -> None:
    assert is_right(STEP, LANES, Round(1, RIGHT))
    result = judged(RIGHT, RIGHT, seconds=1.25)
    assert (result.verdict, result.seconds) == (Verdict.ENFORCED, 1.25)


def test_one_forbidden_connection_in_one_round_is_not_enforced_in_its_lane() -> None:
    leak = Attempt(TCP6, 8081).key
    result = judged(RIGHT, RIGHT | {leak})
    assert result.verdict is Verdict.NOT_ENFORCED
    assert [(lane.lane, lane.verdict, lane.through) for lane in result.lanes] == [
        (TCP4, Verdict.ENFORCED, ()),
        (TCP6, Verdict.NOT_ENFORCED, (8081,)),
    ]


def test_an_allowed_connection_that_never_succeeds_is_too_strict() -> None:
    result = judged(frozenset(), frozenset())
    assert {lane.verdict for lane in result.lanes} == {Verdict.TOO_STRICT}
    assert result.lanes[0].blocked == (8080,)


def test_answers_that_keep_changing_are_unknown() -> None:
    assert judged(RIGHT, frozenset()).verdict is Verdict.UNKNOWN


def test_a_lane_that_tells_nothing_is_unknown_and_says_why() -> None:
    result = judge(INGRESS, seen(RIGHT, RIGHT), (TCP4,), {TCP6: "closed anyway"}, [])
    assert (result.verdict, result.lanes[1].reason) == (Verdict.UNKNOWN, "closed anyway")


def test_a_check_that_needs_another_is_unknown_where_that_fails_unless_something_comes_through() -> None:
    """Where ranges do not match pods, an exception is closed for another reason than its own."""
    strict = CheckResult(CHECKS["ip-block"], judged(frozenset()).lanes, None)
    closed = judge(CHECKS["except"], seen(frozenset(), check=CHECKS["except"]), LANES, {}, [strict])
    assert closed.verdict is Verdict.UNKNOWN
    assert closed.lanes[0].reason == "cannot be told where ip-block is too strict"
    open_ = judge(CHECKS["except"], seen(everything(LANES), check=CHECKS["except"]), LANES, {}, [strict])
    assert open_.verdict is Verdict.NOT_ENFORCED


def test_a_step_that_cannot_but_fail_is_not_enforced_without_being_tried() -> None:
    deny = judge(CHECKS["deny-ingress"], seen(everything(LANES), check=CHECKS["deny-ingress"]), LANES, {}, [])
    assert is_open_altogether(deny)
    result = judge(INGRESS, [Seen(STEP, skipped="for a reason")], LANES, {}, [deny])
    assert result.verdict is Verdict.NOT_ENFORCED
    assert (result.lanes[0].through, result.lanes[0].reason) == ((), "for a reason")
    assert not is_open_altogether(result)


def test_rounds_are_read_from_whatever_else_a_log_holds() -> None:
    wanted = Round(7, frozenset({"TCP/4/8080"}))
    log = f'ning":\n{wanted.line()}\nTraceback\n{{"round": "x", "open": []}}\n[]\n{{"round": 8, "op'
    assert read_rounds(log) == [wanted]


def report(*results: CheckResult) -> Report:
    return Report(results, LANES, "https://x", "image", {"client": "a", "server": "b"}, 12.34, ("a note",))


def test_a_report_tells_lanes_with_the_same_story_once() -> None:
    found = report(judged(RIGHT, seconds=1.0), judged(everything(LANES)))
    assert header(found) == ("check", "TCP IPv4", "TCP IPv6", "after")
    assert list(rows(found)) == [
        ("ingress", "enforced", "enforced", "1.0 s"),
        ("ingress", "not enforced", "not enforced", "-"),
    ]
    assert list(details(found)) == [
        "ingress: open although no policy allows it: ports 8081, 8082, 8083",
    ]
    assert summary(found) == "2 checks: 1 not enforced, 1 enforced"
    assert summary(report(judged(RIGHT))) == "everything that was checked is enforced"


def test_a_report_as_data_is_plain_json() -> None:
    data = as_data(report(judged(RIGHT, RIGHT | {Attempt(TCP6, PORTS[-1]).key})))
    assert json.loads(json.dumps(data)) == data
    assert data["verdict"] == data["checks"][0]["verdict"] == "notEnforced"
    assert data["checks"][0]["lanes"][1]["openAgainstPolicies"] == [8083]


def test_nothing_checked_is_not_everything_enforced() -> None:
    assert not report().enforced


@pytest.mark.parametrize("worse", [Verdict.NOT_ENFORCED, Verdict.TOO_STRICT, Verdict.UNKNOWN])
def test_only_all_enforced_is_enforced(worse: Verdict) -> None:
    lanes = {
        Verdict.NOT_ENFORCED: everything(LANES),
        Verdict.TOO_STRICT: frozenset[str](),
    }
    second = judged(lanes[worse]) if worse in lanes else judged(RIGHT, frozenset())
    assert report(judged(RIGHT), second).verdict is worse
