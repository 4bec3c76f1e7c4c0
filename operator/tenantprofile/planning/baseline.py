"""No pod before its baseline: which policy bears the mark that the guard's pod gate waits for (pure).

The mark is the label `tenantprofile.dev/complete` on one policy of the namespace. It says that every policy of every
profile with `podAdmission: RequireBaseline` that selects the namespace has stood together. It is written last and on
its own, and it stays while these profiles change or something of theirs fails, because what stood is not removed
before what takes its place stands. Only the operator's seal of the mark proves that a policy has borne it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tenantprofile.planning.desired import DesiredPolicy
from tenantprofile.planning.observed import Observed


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a namespace needs before pods may start in it; `policies` are without the mark.

    `whole`: every policy that its profiles ask for is among them, rendered as they ask for it today.
    `sealed`: names of those that bear the operator's seal of the mark.
    """

    policies: Sequence[DesiredPolicy]
    whole: bool
    sealed: Collection[str]

    @property
    def bearer(self) -> str:
        """The policy that bears the mark, empty if there is none to: the one that has it, else one that isolates."""
        order = sorted(self.policies, key=lambda p: (p.name not in self.sealed, not p.closes, p.name))
        return order[0].name if order else ""

    def stands(self, found: Mapping[str, Observed]) -> bool:
        """Whether the whole baseline is in force, as far as can be seen; the mark aside."""
        return (
            self.whole
            and bool(self.policies)
            and all(_stands(policy, found.get(policy.name)) for policy in self.policies)
        )

    def kept(self, found: Mapping[str, Observed]) -> frozenset[str]:
        """Policies that are desired with the mark before anything is written.

        Those that have it, and the bearer where the baseline stands already. What has to be created has no mark: the
        others may have gone as well.
        """
        if not self.policies:
            return frozenset()
        marked = frozenset(name for name in self.sealed if name in found)
        return marked | {self.bearer} if self.stands(found) else marked


def _stands(policy: DesiredPolicy, found: Observed | None) -> bool:
    if found is None or found.held_by:
        return False
    return any(found.digest == form.digest == found.applied for form in (policy, policy.with_mark()))
