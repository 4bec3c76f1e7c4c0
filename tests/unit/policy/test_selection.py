"""What selectors have to do with each other, against every small set of labels."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.policy.selection import contradiction, implies, may_overlap
from tenantprofile.selectors import Requirement, Selector

VALUES = ("x", "y", "z")
KEYS = ("a", "b")
# One value more than any selector names stands for all others.
LABELS = [
    {key: value for key, value in zip(KEYS, chosen, strict=True) if value is not None}
    for chosen in product((None, *VALUES, "other"), repeat=2)
]

requirements = st.one_of(
    st.builds(
        Requirement,
        st.sampled_from(KEYS),
        st.sampled_from(["In", "NotIn"]),
        st.frozensets(st.sampled_from(VALUES), min_size=1),
    ),
    st.builds(Requirement, st.sampled_from(KEYS), st.sampled_from(["Exists", "DoesNotExist"])),
)
selectors = st.builds(Selector, st.lists(requirements, max_size=4).map(tuple))


@given(selectors)
def test_a_contradiction_is_found_exactly_when_nothing_matches(selector: Selector) -> None:
    assert (contradiction(selector) is not None) == (not any(map(selector.matches, LABELS)))


@given(selectors, selectors)
def test_selectors_overlap_exactly_when_something_matches_both(one: Selector, other: Selector) -> None:
    assert may_overlap(one, other) == any(one.matches(labels) and other.matches(labels) for labels in LABELS)


@given(selectors, selectors)
def test_a_selector_implies_another_exactly_when_nothing_escapes_it(one: Selector, other: Selector) -> None:
    assert implies(one, other) == all(other.matches(labels) for labels in LABELS if one.matches(labels))
