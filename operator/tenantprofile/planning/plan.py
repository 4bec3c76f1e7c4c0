"""What has to be done in one namespace: desired against observed (pure).

The order of the writes is part of the answer. Allow rules go in before the denies they belong to, and
on removal the denies go out first, so that a running pod is cut off for as short a time as separate
objects permit. Nothing is removed before everything wanted stands.

Ownership: a policy is the operator's because the operator wrote an object of that name into that very
namespace (by its uid) and has not removed it since, see `controller.ledger`. Labels, annotations, owner
references and field managers are claims that anybody can make, and prove nothing either way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tenantprofile.planning.desired import DesiredPolicy
from tenantprofile.planning.observed import Observed


@dataclass(frozen=True, slots=True)
class Create:
    """A policy that is not there.

    `lost`: the operator had written it and somebody else deleted it, or took its label off.
    `renewed`: the profile asks for another form than the one that was lost.
    """

    desired: DesiredPolicy
    lost: bool
    renewed: bool = False

    @property
    def undoes_drift(self) -> bool:
        """Whether the write only undoes what somebody else did."""
        return self.lost and not self.renewed


@dataclass(frozen=True, slots=True)
class Replace:
    """A policy that differs. `drifted`: somebody else changed it, rather than the profile."""

    desired: DesiredPolicy
    observed: Observed
    drifted: bool

    @property
    def undoes_drift(self) -> bool:
        """Whether the write only undoes what somebody else did."""
        return self.drifted


@dataclass(frozen=True, slots=True)
class Delete:
    """A policy of ours that nothing wants any more; `observed` is None where it does not carry our label."""

    name: str
    observed: Observed | None

    @property
    def closes(self) -> bool:
        return self.observed is not None and self.observed.closes


Write = Create | Replace

Step = TypeVar("Step")


@dataclass(frozen=True, slots=True)
class Plan:
    """`writes` in phases: a phase begins when the one before has ended; within it, order does not matter.

    `deletes` follow only when every write that they depend on has succeeded.
    """

    writes: tuple[tuple[Write, ...], ...]
    deletes: tuple[tuple[Delete, ...], ...]
    conflicts: tuple[DesiredPolicy, ...]
    """Names that are taken by objects which are not ours, and carry our label all the same."""
    holding: tuple[DesiredPolicy, ...]
    """As desired already."""

    @property
    def removals(self) -> tuple[Delete, ...]:
        """The deletes of all phases."""
        return tuple(delete for phase in self.deletes for delete in phase)

    @property
    def is_empty(self) -> bool:
        return not self.writes and not self.deletes


def plan(
    desired: Iterable[DesiredPolicy],
    observed: Mapping[str, Observed],
    *,
    owned: Collection[str],
    removable: Collection[str],
    kept_names: Collection[str] = (),
    lost: Mapping[str, str] | None = None,
    written: Mapping[str, str] | None = None,
    empty_before: bool = False,
) -> Plan:
    """The plan for one namespace. Everything is by object name.

    `desired`: policies of the profiles that select it and could be rendered. `observed`: everything there
    that carries our label. `owned`: names that are the operator's. `removable`: those of them whose profile
    lets unwanted policies go (known, renders cleanly, not suspended). `kept_names`: what stays whatever else
    is said (an entry that could not be rendered). `lost`: what somebody else deleted, with the digest it had
    where that is known. `written`: the digests that the operator wrote last, as far as it remembers: a change
    by others that also forges the applied digest is told by them. `empty_before`: nothing runs in the
    namespace yet, so that all its policies may be written at once.
    """
    lost, written = lost or {}, written or {}
    writes: list[Write] = []
    conflicts: list[DesiredPolicy] = []
    holding: list[DesiredPolicy] = []
    wanted: set[str] = set(kept_names)
    for policy in desired:
        wanted.add(policy.name)
        found = observed.get(policy.name)
        if found is None:
            before = lost.get(policy.name)
            writes.append(Create(policy, before is not None, before not in (None, "", policy.digest)))
        elif found.digest == policy.digest == found.applied:
            holding.append(policy)
        elif policy.name not in owned:
            conflicts.append(policy)
        else:
            drifted = policy.digest in (found.applied, written.get(policy.name))
            writes.append(Replace(policy, found, drifted))
    deletes = [
        Delete(name, observed.get(name)) for name in sorted(owned) if name not in wanted and name in removable
    ]
    return Plan(
        writes=_phases(writes, writes if empty_before else [w for w in writes if not w.desired.closes]),
        deletes=_phases(deletes, [delete for delete in deletes if delete.closes]),
        conflicts=tuple(conflicts),
        holding=tuple(holding),
    )


def _phases(steps: list[Step], first: list[Step]) -> tuple[tuple[Step, ...], ...]:
    """Two phases, `first` and the others, without empty ones."""
    early = {id(step) for step in first}
    phases = (tuple(first), tuple(step for step in steps if id(step) not in early))
    return tuple(phase for phase in phases if phase)
