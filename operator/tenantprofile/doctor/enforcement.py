"""The checks of `tenantprofile.enforcement` in a canary, one after the other.

Each step begins with no policy and everything open, puts its policies in force, and waits until the
client's rounds are right twice in a row. Plugins take a moment to program a policy, so a wrong answer
counts only when it is still there after the patience.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tenantprofile.cluster.api import ApiError
from tenantprofile.doctor import canary as canaries
from tenantprofile.doctor.canary import Canary, Say
from tenantprofile.doctor.connection import Connection, DoctorError
from tenantprofile.doctor.rights import Right, lacking
from tenantprofile.enforcement.attempts import PORTS, Attempt, Lane, Round, lanes_of
from tenantprofile.enforcement.judgement import (
    CheckResult,
    Seen,
    everything,
    is_open_altogether,
    is_right,
    judge,
)
from tenantprofile.enforcement.objects import LABEL_CANARY
from tenantprofile.enforcement.plan import Check, Parties, Step, checks, portability_checks
from tenantprofile.enforcement.report import Report

STEADY: Final = 2
"""Rounds in a row that have to be right."""
SILENCE: Final = 30.0
"""Seconds beyond the patience after which a client that tells nothing new is given up."""

RIGHTS: Final = (
    Right("create", "namespaces"),
    Right("get", "namespaces"),
    Right("list", "namespaces"),
    Right("delete", "namespaces"),
    Right("create", "pods"),
    Right("get", "pods"),
    Right("get", "pods", subresource="log"),
    Right("create", "networkpolicies", "networking.k8s.io"),
    Right("list", "networkpolicies", "networking.k8s.io"),
    Right("delete", "networkpolicies", "networking.k8s.io"),
)
"""What a run needs, in every namespace because that of the canary has no name yet."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody wants to know, and how long they are prepared to wait for it (seconds)."""

    image: str
    patience: float
    start_within: float
    portability: bool = False
    left_out: frozenset[str] = frozenset()

    def checks(self, parties: Parties) -> list[Check]:
        every = [*checks(parties), *(portability_checks(parties) if self.portability else ())]
        return [check for check in every if check.name not in self.left_out]

    @property
    def lifetime(self) -> int:
        """Seconds after which the pods end by themselves: longer than the longest run."""
        steps = sum(len(check.steps) for check in self.checks(Parties("", (), ())))
        return math.ceil(self.start_within + (2 * steps + 1) * (self.patience + SILENCE) + 60)


def check_names(*, portability: bool = True) -> list[str]:
    """The names of all checks, in their order."""
    return [check.name for check in Wishes("", 0, 0, portability).checks(Parties("", (), ()))]


async def examine(connection: Connection, wishes: Wishes, say: Say) -> Report:
    """Make a canary, find out, and remove it. Raises DoctorError; what it made is gone in any case."""
    began = asyncio.get_running_loop().time()
    await _demand_rights(connection)
    canary = Canary(connection, wishes.image, wishes.lifetime, secrets.token_hex(8))
    try:
        await canary.make()
        say(f"the canary's namespace is {canary.name}")
        await _clear_up(connection, canary, say)
        parties = await canary.start(wishes.start_within)
        say("both pods run: " + ", ".join(f"{role} on {node}" for role, node in canary.nodes.items()))
        run = _Run(canary, wishes, say, parties)
        await run.all()
    finally:
        await canary.remove(say)
    took = asyncio.get_running_loop().time() - began
    lanes = (*run.lanes, *run.unusable)
    return Report(
        tuple(run.results), lanes, connection.server, wishes.image, canary.nodes, took, tuple(run.notes)
    )


async def clean_up(connection: Connection, say: Say) -> bool:
    """Remove every canary, also of runs that may be under way; whether none is left. Raises DoctorError."""
    try:
        found = await canaries.leftovers(connection)
    except ApiError as error:
        raise DoctorError(f"namespaces cannot be listed: {error}") from error
    gone = [await canaries.remove(connection, item, say) for item in found]
    say(f"{sum(gone)} of {len(gone)} removed" if gone else "nothing to remove")
    return all(gone)


@dataclass(slots=True)
class _Run:
    """One run over the checks."""

    canary: Canary
    wishes: Wishes
    say: Say
    parties: Parties
    lanes: tuple[Lane, ...] = ()
    unusable: dict[Lane, str] = field(default_factory=dict)
    results: list[CheckResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is to be read beside the results."""
    _vain: dict[str, str] = field(default_factory=dict)
    """Directions in which nothing is ever held back, and that in words."""
    _latest: int = 0
    """The number of the last round that was read."""

    async def all(self) -> None:
        await self._find_lanes()
        if len(set(self.canary.nodes.values())) == 1:
            self.notes.append("both pods were on one node: what is between nodes was not seen")
        chosen = self.wishes.checks(self.parties)
        for number, check in enumerate(chosen, 1):
            self.say(f"{number} of {len(chosen)}: {check.name}: {check.title}")
            seen = [await self._step(check, step) for step in check.steps]
            result = judge(check, seen, self.lanes, self.unusable, self.results)
            self.results.append(result)
            if check.name in ("deny-ingress", "deny-egress") and is_open_altogether(result):
                direction = check.name.removeprefix("deny-")
                self._vain[direction] = f"not tried, because {check.name} blocks nothing"

    async def _find_lanes(self) -> None:
        """Everything has to be open before the first policy; a lane that is not tells nothing."""
        possible = lanes_of(self.parties.client, self.parties.server)
        if not possible:
            raise DoctorError("the two pods have no address family in common")
        wanted = everything(possible)
        rounds, _ = await self._watch(lambda seen: wanted <= seen.open)
        for lane in possible:
            keys = {Attempt(lane, port).key for port in PORTS}
            if all(keys <= seen.open for seen in rounds):
                self.lanes += (lane,)
            else:
                self.unusable[lane] = "not open even without policies, so it tells nothing"
        if not self.lanes:
            raise DoctorError(
                "the client does not reach the server even without policies" + await self._who_else()
            )

    async def _step(self, check: Check, step: Step) -> Seen:
        if step.direction in self._vain:
            return Seen(step, skipped=self._vain[step.direction])
        await self.canary.apply(step.policies)
        rounds, seconds = await self._watch(lambda seen: is_right(step, self.lanes, seen))
        await self.canary.withdraw(step.policies)
        wanted = everything(self.lanes)
        _, reopened = await self._watch(lambda seen: wanted <= seen.open)
        if reopened is None:
            raise DoctorError(
                f"connections are not open again {self.wishes.patience:.0f} s after the policies of"
                f" {check.name} were removed (more time: --patience)" + await self._who_else()
            )
        return Seen(step, tuple(rounds), seconds)

    async def _watch(self, right: Callable[[Round], bool]) -> tuple[Sequence[Round], float | None]:
        """The last rounds once they are right, or at the end of the patience; and how long it took.

        A round that is under way now may have begun before what it is to show, and does not count.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        self._latest = max([self._latest, *(seen.number for seen in await self.canary.rounds())])
        first, since, heard = self._latest + 1, None, began
        while True:
            rounds = [seen for seen in await self.canary.rounds() if seen.number > first]
            now = clock()
            if rounds and rounds[-1].number > self._latest:
                self._latest, heard = rounds[-1].number, now
            if not rounds or not right(rounds[-1]):
                since = None
            elif since is None:
                since = now
            last = rounds[-STEADY:]
            if len(last) == STEADY and since is not None and all(map(right, last)):
                return last, since - began
            if now - began > self.wishes.patience and len(last) == STEADY:
                return last, None
            if now - heard > self.wishes.patience + SILENCE:
                raise DoctorError(
                    f"{self.canary.name}/client tells nothing: its log cannot be read or is empty"
                )
            await asyncio.sleep(canaries.POLL)

    async def _who_else(self) -> str:
        """Whose policies may be the reason."""
        found = await self.canary.foreign_policies()
        if not found:
            return "; policies of the whole cluster, a service mesh or the network itself may be the reason"
        label = LABEL_CANARY
        return (
            f": its namespace has policies of others ({', '.join(found)}); a TenantProfile leaves canaries out"
            f" with {{key: {label}, operator: DoesNotExist}} among the matchExpressions of its namespaceSelector"
        )


async def _demand_rights(connection: Connection) -> None:
    try:
        missing = await lacking(connection, RIGHTS)
    except ApiError as error:
        if error.status == 403:
            return  # who may not ask finds out by trying
        raise DoctorError(f"the API server does not answer: {error}") from error
    if missing:
        raise DoctorError(f"you lack the rights to: {', '.join(map(str, missing))}")


async def _clear_up(connection: Connection, canary: Canary, say: Say) -> None:
    """Remove what earlier runs have left, and leave alone what may be a run of this moment."""
    try:
        found = await canaries.leftovers(connection)
    except ApiError as error:
        raise DoctorError(f"namespaces cannot be listed: {error}") from error
    for item in found:
        name = item["metadata"]["name"]
        if name == canary.name:
            continue
        if canaries.has_outlived(item, canary.created):
            say(f"{name} is left from an earlier run, and removed")
            await canaries.remove(connection, item, say)
        else:
            say(
                f"{name} may be of another run at this moment; if not, tenantprofile doctor --cleanup removes it"
            )
