"""The assertions of a TenantProfile, checked on the policies that it renders for a namespace.

Whether they hold is decided from the profile alone (see `hypothetical`). Answers are kept by what
they depend on, the policies and what the policies and assertions can tell of the namespace's labels:
ten thousand namespaces that share a rendering are usually one check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tenantprofile.assertions.check import Result, check_groups
from tenantprofile.assertions.form import AssertionFormError, NetworkAssertion, parse_assertions
from tenantprofile.assertions.hypothetical import Mentions, UndecidableError, mentions, stage
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.explanation import Words, blocking, headline, reasons
from tenantprofile.connectivity.policies import Policy, PolicySpec, parse_spec
from tenantprofile.connectivity.verdict import End, verdict
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.names import LABEL_NAMESPACE_NAME
from tenantprofile.paths import Complaint, Path

MAX_ASSERTIONS: Final = 50
_KEPT: Final = 4096


class Rendered(Protocol):
    """What this module needs of a policy that is about to be applied."""

    @property
    def entry(self) -> str: ...
    @property
    def digest(self) -> str: ...
    def manifest(self, namespace: str) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Violated:
    """An assertion that does not hold, by its name, and why, in a sentence or two."""

    name: str
    message: str


def parse_profile_assertions(raw: object, path: Path) -> tuple[NetworkAssertion, ...]:
    """`spec.assertions`; what cannot be decided without objects is refused. Raises AssertionFormError."""
    if raw is None or raw == []:
        return ()
    found = parse_assertions(raw, path)
    complaints: list[Complaint] = []
    if len(found) > MAX_ASSERTIONS:
        message = f"found {len(found)} assertions; expected at most {MAX_ASSERTIONS}"
        complaints.append(Complaint(path, message))
    for index, assertion in enumerate(found):
        place = (*path, index)
        for field, end in (("from", assertion.source), ("to", assertion.destination)):
            inner = end.outside or end
            if inner.workload:
                message = (
                    f"found {inner.workload!r}; a profile is checked before there are workloads,"
                    " so name podLabels"
                )
                complaints.append(Complaint((*place, field, "workload"), message))
        if assertion.ports.names:
            name = assertion.ports.names[0][0]
            message = (
                f"found the name {name!r}; a profile is checked before there are pods that could give it a number,"
                " so write the number"
            )
            complaints.append(Complaint((*place, "ports"), message))
        if not any(_may_be_own(end) for end in (assertion.source, assertion.destination)):
            message = (
                "from and to are both outside the profile's namespaces, whose policies are all that is checked;"
                " leave the namespace out of one of them"
            )
            complaints.append(Complaint(place, message))
    if complaints:
        raise AssertionFormError(complaints)
    return found


def _may_be_own(end: Any) -> bool:
    return bool(end.anything or end.outside or not (end.addresses or end.names_namespace))


class ProfileAssertions:
    """A profile's assertions, and the answers so far."""

    def __init__(self, assertions: Sequence[NetworkAssertion]) -> None:
        self.assertions = tuple(assertions)
        self._known: dict[object, tuple[Violated, ...]] = {}
        self._read: dict[tuple[str, ...], tuple[dict[str, PolicySpec], Mentions]] = {}
        self._seen: dict[tuple[str, ...], Mentions] = {}

    def violated(
        self, policies: Sequence[Rendered], namespace: str, labels: Mapping[str, str]
    ) -> tuple[Violated, ...]:
        """The assertions that these policies would violate in a namespace with these labels."""
        found = self.known(policies, namespace, labels)
        if found is None:
            specs, seen = self._specs(policies)
            results = (self._check(one, specs, namespace, labels) for one in self.assertions)
            found = tuple(result for result in results if result is not None)
            self.learn(policies, namespace, labels, seen, found)
        return found

    def known(
        self, policies: Sequence[Rendered], namespace: str, labels: Mapping[str, str]
    ) -> tuple[Violated, ...] | None:
        """The same where it was found out before, for a namespace that none of the policies tells apart."""
        digests = _digests(policies)
        seen = self._seen.get(digests)
        return None if seen is None else self._known.get(_key(digests, seen, namespace, labels))

    def learn(
        self,
        policies: Sequence[Rendered],
        namespace: str,
        labels: Mapping[str, str],
        seen: Mentions,
        violated: tuple[Violated, ...],
    ) -> None:
        """Keep an answer. `seen`: what policies and assertions can tell of a namespace's labels."""
        digests = _digests(policies)
        if len(self._known) >= _KEPT:
            self._known.clear()
            self._seen.clear()
        self._seen[digests] = seen
        self._known[_key(digests, seen, namespace, labels)] = violated

    def seen(self, policies: Sequence[Rendered]) -> Mentions:
        """What these policies and the assertions can tell of a namespace's labels."""
        return self._specs(policies)[1]

    def _specs(self, policies: Sequence[Rendered]) -> tuple[dict[str, PolicySpec], Mentions]:
        key = _digests(policies)
        known = self._read.get(key)
        if known is None:
            if len(self._read) >= _KEPT:
                self._read.clear()
            specs = {policy.entry: parse_spec(policy.manifest("")["spec"]) for policy in policies}
            seen = mentions(list(specs.values()))[2]
            for assertion in self.assertions:
                for end in (assertion.source, assertion.destination):
                    inner = end.outside or end
                    seen.add_labels(inner.namespace_labels)
                    seen.add_labels([(LABEL_NAMESPACE_NAME, name) for name in inner.namespaces])
            known = self._read[key] = (specs, seen)
        return known

    def _check(
        self,
        assertion: NetworkAssertion,
        specs: Mapping[str, PolicySpec],
        namespace: str,
        labels: Mapping[str, str],
    ) -> Violated | None:
        try:
            staged = stage(assertion, specs, namespace, labels)
        except UndecidableError as error:
            return Violated(assertion.name, f"{assertion.name}: cannot be decided: {error}")
        table = ConnectionMap(staged.world)
        result = check_groups(table, assertion, staged.sources, staged.destinations)
        if result.status in ("passed", "skipped"):
            return None
        return Violated(assertion.name, _message(staged.world, namespace, result))


def _digests(policies: Sequence[Rendered]) -> tuple[str, ...]:
    return tuple(policy.digest for policy in policies)


def _key(digests: tuple[str, ...], seen: Mentions, namespace: str, labels: Mapping[str, str]) -> object:
    return digests, seen.seen_as({**labels, LABEL_NAMESPACE_NAME: namespace})


def _message(world: World, namespace: str, result: Result) -> str:
    if result.status == "error":
        return f"{result.assertion.name}: cannot be decided: {result.message}"
    words = Words(end=lambda end: _called(end, namespace), policy=_entry)
    found = verdict(world, *result.examples[0].example)
    why = reasons(world, found, words) if found.allowed else blocking(world, found, words)
    others = result.violated - 1
    more = f" (and for {others} other pair{'s' if others > 1 else ''})" if others else ""
    shown = headline(found, words, result.examples[0].ports)
    return f"{result.assertion.name}: {shown}; {'; '.join(why)}{more}"


def _called(end: End, namespace: str) -> str:
    if not isinstance(end, Workload):
        return str(end)
    return end.name if end.namespace == namespace else f"{end.name} in {end.namespace}"


def _entry(policy: Policy) -> str:
    return f"policy {policy.name}"
