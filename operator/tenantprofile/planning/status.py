"""How a profile stands: what its status says, made from the outcomes in its namespaces (pure).

Bounded by construction: counts, three conditions, and at most twenty problems with cut messages; the
same size at ten and at ten thousand namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Final, Literal

MAX_PROBLEMS: Final = 20
MAX_MESSAGE: Final = 512
"""Characters of one problem's message; with twenty problems the whole status stays under 32 KiB."""

ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that does not hold, and what a person can do about it."""

    namespace: str
    policy: str
    reason: str
    message: str
    minor: bool = True
    """False for what leaves a namespace without protection; those come first in status."""

    @property
    def rank(self) -> tuple[bool, str, str, str, str]:
        """The order in which problems are shown."""
        return (self.minor, self.namespace, self.policy, self.reason, self.message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One profile in one namespace, after it has been looked at.

    `selected`: whether the profile selects the namespace; where it does not, problems are about what is left there.
    `standing`: policies of the profile that are in the namespace, in whatever form.
    """

    desired: int
    ready: int
    problems: tuple[Problem, ...] = ()
    selected: bool = True
    standing: int = 0

    @property
    def is_ready(self) -> bool:
        return self.ready == self.desired and not self.problems


@dataclass(slots=True, order=True)
class Drift:
    """Repairs so far; the count goes on over restarts, because it is read from the status.

    Two operators that report on one profile agree on the greater one, instead of correcting each other.
    """

    repaired: int = 0
    last_time: str = ""
    last: str = ""

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Drift:
        raw = status.get("drift") or {}
        return cls(
            int(raw.get("repaired") or 0),
            str(raw.get("lastRepairTime") or ""),
            str(raw.get("lastRepair") or ""),
        )


@dataclass(slots=True)
class Tally:
    """The outcomes of one profile, added up as they come.

    An outcome counts as long as nothing has changed what it was made from: `renew` and `pending` take outcomes
    out of the count until the namespace has been looked at again, so that Ready is never said of an older state.
    """

    drift: Drift
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """The last outcome in each namespace, whether it still counts or not."""
    counted: set[str] = field(default_factory=set)
    """Namespaces that are selected and whose outcome counts."""
    desired: int = 0
    ready: int = 0
    standing: int = 0
    namespaces_ready: int = 0
    troubled: dict[str, tuple[Problem, ...]] = field(default_factory=dict)

    def put(self, namespace: str, outcome: Outcome | None) -> bool:
        """Take in an outcome, or drop the namespace's with None; whether anything differs."""
        before = self.outcomes.get(namespace)
        if before == outcome and (outcome is None or not outcome.selected or namespace in self.counted):
            return False
        self.pending(namespace)
        if outcome is None:
            self.outcomes.pop(namespace, None)
            self.troubled.pop(namespace, None)
            return True
        self.outcomes[namespace] = outcome
        if outcome.problems:
            self.troubled[namespace] = outcome.problems
        else:
            self.troubled.pop(namespace, None)
        if outcome.selected:
            self.counted.add(namespace)
            self._add(outcome, 1)
        return True

    def pending(self, namespace: str) -> bool:
        """The namespace is to be looked at again; whether its outcome counted until now."""
        if namespace not in self.counted:
            return False
        self.counted.discard(namespace)
        self._add(self.outcomes[namespace], -1)
        return True

    def renew(self) -> None:
        """The profile or one of its templates has changed: every namespace is to be looked at again."""
        self.counted.clear()
        self.desired = self.ready = self.standing = self.namespaces_ready = 0

    def _add(self, outcome: Outcome, sign: int) -> None:
        self.desired += sign * outcome.desired
        self.ready += sign * outcome.ready
        self.standing += sign * outcome.standing
        self.namespaces_ready += sign * outcome.is_ready

    def problems(self) -> Iterable[Problem]:
        return (problem for problems in self.troubled.values() for problem in problems)


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: ConditionStatus
    reason: str
    message: str


def status(
    tally: Tally,
    *,
    generation: int,
    selected: int,
    before: Mapping[str, Any],
    now: str,
    profile_problems: tuple[Problem, ...] = (),
    suspended: bool = False,
) -> dict[str, Any]:
    """The whole `.status` of a TenantProfile.

    `selected`: namespaces that the selector matches now; those without an outcome are still to come.
    `before`: the status as stored, for times that must not move. `now`: RFC 3339, used only where a
    condition changes. `profile_problems`: what is wrong with the profile as a whole.
    """
    failing = len(tally.counted) - tally.namespaces_ready
    problems = nsmallest(
        MAX_PROBLEMS, [*profile_problems, *tally.problems()], key=lambda problem: problem.rank
    )
    total = len(profile_problems) + sum(map(len, tally.troubled.values()))
    conditions = [
        _ready(tally, selected, problems, total, suspended),
        _progressing(tally, selected, profile_problems, suspended),
        _degraded(tally, problems, total, suspended),
    ]
    return {
        "observedGeneration": generation,
        "conditions": with_times(conditions, before, generation, now),
        "namespaces": {
            "selected": selected,
            "ready": tally.namespaces_ready,
            "failing": failing,
            "summary": f"{tally.namespaces_ready}/{selected}",
        },
        "policies": {"desired": tally.desired, "ready": tally.ready},
        "drift": _drift(tally.drift),
        "problems": [
            {
                key: value
                for key, value in (
                    ("namespace", problem.namespace),
                    ("policy", problem.policy),
                    ("reason", problem.reason),
                    ("message", cut(problem.message, MAX_MESSAGE)),
                )
                if value
            }
            for problem in problems
        ],
        "problemsTotal": total,
    }


def _ready(tally: Tally, selected: int, problems: list[Problem], total: int, suspended: bool) -> Condition:
    if problems:
        return Condition("Ready", "False", problems[0].reason, _summary(problems, total))
    if suspended:
        return Condition(
            "Ready",
            "Unknown",
            "Suspended",
            f"spec.suspend is true: nothing is written; {_count_ready(tally)}",
        )
    waiting = selected - tally.namespaces_ready
    if waiting > 0:
        return Condition(
            "Ready", "False", "Progressing", f"{waiting} of {counted(selected, 'namespace')} still to come"
        )
    if selected == 0:
        return Condition(
            "Ready",
            "False",
            "NoNamespaces",
            "spec.namespaceSelector matches no namespace, so nothing is protected by this profile",
        )
    return Condition(
        "Ready",
        "True",
        "Applied",
        f"{counted(tally.ready, 'policy', 'policies')} as desired in {counted(selected, 'namespace')}",
    )


def _count_ready(tally: Tally) -> str:
    """How many policies are as desired, and how many of the others still stand in an earlier form."""
    text = f"{tally.ready} of {counted(tally.desired, 'policy', 'policies')} as desired"
    if earlier := tally.standing - tally.ready:
        text += f"; {earlier} in another form {'stays' if earlier == 1 else 'stay'} in force"
    return text


def _progressing(
    tally: Tally, selected: int, profile_problems: tuple[Problem, ...], suspended: bool
) -> Condition:
    unsettled = selected - len(tally.counted)
    if suspended:
        return Condition("Progressing", "False", "Suspended", "spec.suspend is true")
    if profile_problems:
        return Condition("Progressing", "False", profile_problems[0].reason, "waiting for a valid spec")
    if unsettled > 0:
        return Condition(
            "Progressing", "True", "Applying", f"{counted(unsettled, 'namespace')} still to come"
        )
    return Condition("Progressing", "False", "Settled", "nothing is waiting to be done")


def _degraded(tally: Tally, problems: list[Problem], total: int, suspended: bool) -> Condition:
    if problems:
        message = _summary(problems, total)
        if tally.standing > tally.ready:
            message = cut(f"{message}; {_count_ready(tally)}", MAX_MESSAGE + 100)
        return Condition("Degraded", "True", problems[0].reason, message)
    if suspended and tally.ready < tally.desired:
        return Condition("Degraded", "True", "Suspended", f"{_count_ready(tally)}, and spec.suspend is true")
    return Condition("Degraded", "False", "AsExpected", "no problem is known")


def _summary(problems: list[Problem], total: int) -> str:
    first = problems[0]
    place = "/".join(part for part in (first.namespace, first.policy) if part)
    more = f" (and {total - 1} more, see status.problems)" if total > 1 else ""
    return cut(f"{place}: {first.message}" if place else first.message, MAX_MESSAGE) + more


def with_times(
    conditions: list[Condition], before: Mapping[str, Any], generation: int, now: str
) -> list[dict[str, Any]]:
    """Conditions as the API wants them; a time moves only where the condition's status does."""
    known = {c.get("type"): c for c in before.get("conditions") or []}
    result = []
    for condition in conditions:
        old = known.get(condition.type) or {}
        same = old.get("status") == condition.status and old.get("lastTransitionTime")
        result.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if same else now,
            }
        )
    return result


def condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """The condition of a type in a status; empty where there is none."""
    found = status.get("conditions")
    for item in found if isinstance(found, list) else ():
        if isinstance(item, Mapping) and item.get("type") == type_:
            return item
    return {}


def _drift(drift: Drift) -> dict[str, Any]:
    result: dict[str, Any] = {"repaired": drift.repaired}
    if drift.last_time:
        result |= {"lastRepairTime": drift.last_time, "lastRepair": cut(drift.last, MAX_MESSAGE)}
    return result


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 namespace, 2 namespaces."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def cut(text: str, length: int) -> str:
    """At most `length` characters, with a mark where something was left out."""
    return text if len(text) <= length else text[: length - 1] + "…"
