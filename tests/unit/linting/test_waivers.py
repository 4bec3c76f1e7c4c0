"""Waivers: with a reason and an end, or not at all."""

from __future__ import annotations

import pytest

from tenantprofile.linting.waivers import is_date
from unit.linting.judged import TODAY, found, judge, places
from unit.linting.test_profiles import PROFILE

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
  annotations:
    tenantprofile.dev/lint-waive: "{waiver}"
spec:
  podSelector: {{matchLabels: {{app: web}}}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {{}}
    - {{}}
"""


def waived(waiver: str) -> set[str]:
    return {placed.rule.id for placed in judge(POLICY.format(waiver=waiver)).waived}


def told(rule: str, waiver: str) -> list[str]:
    return [placed.message for placed in found(rule, POLICY.format(waiver=waiver))]


def test_a_waiver_with_reason_and_date_takes_its_finding_away() -> None:
    result = judge(POLICY.format(waiver="every-peer: public pages, until 2027-01-31"))
    assert "every-peer" not in {placed.rule.id for placed in result.findings}
    (placed,) = result.waived
    assert placed.waiver is not None
    assert (placed.waiver.reason, placed.waiver.until) == ("public pages", "2027-01-31")


@pytest.mark.parametrize("between", ["; ", ";", "\\n", " ;\\n"])
def test_several_waivers(between: str) -> None:
    one, two = "every-peer: a: b, until 2027-01-31", "every-namespace: c until 2027-02-28"
    assert waived(one + between + two) == {"every-peer", "every-namespace"}


def test_a_waiver_counts_on_its_last_day_and_not_on_the_next() -> None:
    assert waived(f"every-peer: x, until {TODAY}") == {"every-peer"}
    assert waived("every-peer: x, until 2026-11-20") == set()
    assert told("waiver-expired", "every-peer: x, until 2026-11-20") == [
        "the waiver of every-peer ended on 2026-11-20"
    ]


@pytest.mark.parametrize(
    ("waiver", "complaint"),
    [
        ("every-peer: until 2027-01-31", "no reason"),
        ("every-peer: public pages", "no end"),
        ("every-peer: public pages, until", "no end"),
        ("every-peer: public pages, until soon", "'soon'; expected a date"),
        ("every-peer: public pages, until 2027-02-30", "'2027-02-30'; expected a date"),
        ("evry-peer: public pages, until 2027-01-31", "no rule 'evry-peer' (did you mean \"every-peer\"?)"),
        (": public pages, until 2027-01-31", "names no rule"),
        ("public pages", "found 'public pages'"),
        ("wrong-type: x, until 2027-01-31", "cannot be waived"),
        ("waiver-expired: x, until 2027-01-31", "cannot be waived"),
    ],
)
def test_a_waiver_that_does_not_say_everything_waives_nothing_and_is_an_error(
    waiver: str, complaint: str
) -> None:
    assert waived(waiver) == set()
    (message,) = told("waiver-invalid", waiver)
    assert complaint in message


def test_a_waiver_with_nothing_to_waive() -> None:
    assert told("waiver-unused", "host-bits: x, until 2027-01-31") == [
        "nothing here to be waived by host-bits"
    ]
    # What depends on the rest of the input may be needed another time.
    assert told("waiver-unused", "selects-nothing: x, until 2027-01-31") == []


def test_a_waiver_for_one_entry_of_a_profile() -> None:
    text = PROFILE.replace("      owner: platform\n", "").replace("      owner: shop\n", "")
    annotation = (
        "  annotations:\n    tenantprofile.dev/lint-waive: missing-owner@database: moving, until 2027-01-31\n"
    )
    result = judge(
        text.replace("name: baseline\n", f"name: baseline\n{annotation}")
        .replace("waive: ", "waive: '")
        .replace("-31\n", "-31'\n")
    )
    assert [placed.entry for placed in result.waived] == ["database"]
    assert [placed.entry for placed in result.findings] == ["dns-egress"]


COMMENT = "# tenantprofile-lint: waive {} until {}: public pages"


def commented(comment: str, before: str) -> str:
    text = POLICY.format(waiver="").replace('  annotations:\n    tenantprofile.dev/lint-waive: ""\n', "")
    indent = before[: len(before) - len(before.lstrip())]
    return text.replace(before, f"{indent}{comment}\n{before}", 1)


@pytest.mark.parametrize(
    "before", ["        - namespaceSelector", "    - from:", "  ingress:", "apiVersion:"]
)
def test_a_comment_waives_what_begins_on_the_next_line_and_all_below(before: str) -> None:
    result = judge(commented(COMMENT.format("every-namespace", "2027-01-31"), before))
    assert [placed.rule.id for placed in result.waived] == ["every-namespace"]


def test_a_comment_waives_nothing_beside() -> None:
    text = commented(COMMENT.format("every-namespace", "2027-01-31"), "    - {}")
    assert judge(text).waived == ()
    assert places("waiver-unused", text) == ["12: "]


def test_a_comment_at_the_end_of_a_line_is_for_this_line() -> None:
    text = commented("", "apiVersion:").replace(
        "    - {}", "    - {}  " + COMMENT.format("every-peer", "2027-01-31")
    )
    assert [placed.rule.id for placed in judge(text).waived] == ["every-peer"]


@pytest.mark.parametrize(
    "comment",
    [
        "# tenantprofile-lint: waive every-peer: public pages",
        "# tenantprofile-lint: waive every-peer until 2027-01-31",
        "# tenantprofile-lint: waive every-peer until 2027-01-31:",
        "# tenantprofile-lint: waive",
        "# tenantprofile-lint: ignore every-peer",
    ],
)
def test_a_comment_that_does_not_say_everything_is_an_error_at_its_line(comment: str) -> None:
    assert places("waiver-invalid", commented(comment, "  ingress:")) == ["9: "]


def test_an_expired_comment() -> None:
    assert places("waiver-expired", commented(COMMENT.format("every-peer", "2020-01-31"), "    - {}")) == [
        "12: "
    ]


def test_days_of_the_calendar() -> None:
    assert is_date("2028-02-29")
    assert is_date("2000-02-29")
    for text in (
        "2027-02-29",
        "2100-02-29",
        "2027-13-01",
        "2027-00-10",
        "2027-04-31",
        "27-04-01",
        "2027-4-1",
        "",
    ):
        assert not is_date(text)
