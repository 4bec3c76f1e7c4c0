"""What an enforcement engine gets wrong on the wire, lint tells of before it is applied."""

from __future__ import annotations

import pytest

from packets.deviations import DEVIATIONS, Deviation
from tenantprofile.policy.rules import RULES, check_spec


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.name)
def test_lint_finds_every_known_deviation(deviation: Deviation) -> None:
    assert RULES[deviation.lint_rule].group == "portability"
    for policy in deviation.policies:
        assert deviation.lint_rule in {finding.rule.id for finding in check_spec(policy["spec"])}
