"""What has to be done in one namespace: desired against observed (pure).

The order of the writes is part of the answer. Allow rules go in before the denies they belong to, and
on removal the denies go out first, so that a running pod is cut off for as short a time as separate
objects permit. Nothing is removed before everything wanted stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tenantprofile.planning.desired import DesiredPolicy
from tenantprofile.planning.observed import Observed


@dataclass(frozen=True, slots=True)
class Create:
    """A policy that is not there. `lost`: it had been there, and somebody else deleted it."""

    desired: DesiredPolicy
    lost: bool


@dataclass(frozen=True, slots=True)
class Replace:
    """A policy that differs. `drifted`: somebody else changed it, rather than the profile."""

    desired: DesiredPolicy
    observed: Observed
    drifted: bool


@dataclass(frozen=True, slots=True)
class Delete:
    """A policy of ours that nothing wants any more."""

    name: str
    observed: Observed


@dataclass(frozen=True, slots=True)
class Plan:
    """`writes` in phases: a phase begins when the one before has ended; within it, order does not matter.

    `deletes` follow only when every write has succeeded.
    """

    writes: tuple[tuple[Create | Replace, ...], ...]
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


def difference(
    desired: Iterable[DesiredPolicy],
    observed: Mapping[str, Observed],
    *,
    removable: Collection[str],
    kept_names: Collection[str] = (),
    lost: Collection[str] = (),
    empty_before: bool = False,
) -> Plan:
    """The plan for one namespace.

    `desired`: policies of the profiles that select it and could be rendered. `observed`: by object
    name, everything there that carries our label. `removable`: names of profiles whose unwanted
    policies may go (the profile is known, renders cleanly and is not suspended). `kept_names`:
    objects that stay whatever else is said (an entry that could not be rendered). `lost`: objects
    that somebody else deleted. `empty_before`: nothing runs in the namespace yet, so that all its
    policies may be written at once.
    """
    creates: list[Create | Replace] = []
    conflicts: list[DesiredPolicy] = []
    holding: list[DesiredPolicy] = []
    wanted: set[str] = set(kept_names)
    for policy in desired:
        wanted.add(policy.name)
        found = observed.get(policy.name)
        if found is None:
            creates.append(Create(policy, policy.name in lost))
        elif not found.ours:
            conflicts.append(policy)
        elif found.digest == policy.digest == found.applied:
            holding.append(policy)
        else:
            creates.append(Replace(policy, found, drifted=found.applied == policy.digest))
    deletes = [
        Delete(name, found)
        for name, found in observed.items()
        if name not in wanted and found.ours and found.profile in removable
    ]
    if empty_before:
        writes = _phases(creates)
    else:
        writes = _phases(
            [write for write in creates if not write.desired.closes],
            [write for write in creates if write.desired.closes],
        )
    return Plan(
        writes=writes,
        deletes=tuple(
            phase
            for phase in (
                tuple(delete for delete in deletes if delete.observed.closes),
                tuple(delete for delete in deletes if not delete.observed.closes),
            )
            if phase
        ),
        conflicts=tuple(conflicts),
        holding=tuple(holding),
    )


def _phases(*phases: list[Create | Replace]) -> tuple[tuple[Create | Replace, ...], ...]:
    return tuple(tuple(phase) for phase in phases if phase)
