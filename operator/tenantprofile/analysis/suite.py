"""All assertions of a set of objects, checked: those of NetworkAssertions and of TenantProfiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.analysis.naming import end_text, words_of
from tenantprofile.analysis.world import Assembly, InputError
from tenantprofile.assertions.check import Result, Violation, check
from tenantprofile.assertions.form import AssertionFormError, NetworkAssertion, parse_assertions
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.explanation import blocking, headline, reasons
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.input.objects import SourceObject
from tenantprofile.names import API_VERSION

KIND: Final = "NetworkAssertions"


@dataclass(frozen=True, slots=True)
class Example:
    """A pair that is not as expected, with the reasons in sentences."""

    violation: Violation
    headline: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one assertion stands. suite: the object that it is from; place: its file and line.

    unit: what `result.checked` counts, `pair` or, for those of a profile, `namespace`.
    """

    suite: str
    place: str
    result: Result
    examples: tuple[Example, ...] = ()
    unit: str = "pair"

    @property
    def assertion(self) -> NetworkAssertion:
        return self.result.assertion

    def data(self) -> dict[str, Any]:
        """For programs."""
        result = self.result
        found: dict[str, Any] = {
            "suite": self.suite,
            "name": self.assertion.name,
            "place": self.place,
            "status": result.status,
            "expect": self.assertion.expect,
            "means": str(self.assertion),
            "checked": result.checked,
            "violated": result.violated,
            "unit": self.unit,
        }
        if result.message:
            found["message"] = result.message
        if self.examples:
            found["examples"] = [
                {
                    "source": end_text(example.violation.source),
                    "destination": end_text(example.violation.destination),
                    "ports": str(example.violation.ports),
                    "connection": example.headline,
                    "reasons": list(example.reasons),
                }
                for example in self.examples
            ]
        return found


def suites(assembly: Assembly) -> list[tuple[SourceObject, tuple[NetworkAssertion, ...]]]:
    """Every NetworkAssertions object with its assertions, in the order given. Raises InputError."""
    found = []
    for item in assembly.objects:
        if item.kind != KIND:
            continue
        if item.api_version != API_VERSION:
            raise InputError(
                f"{item.place(('apiVersion',))}: {item}: apiVersion: found {item.api_version!r};"
                f" expected {API_VERSION}"
            )
        spec = item.raw.get("spec")
        raw = spec.get("assertions") if isinstance(spec, dict) else None
        try:
            found.append((item, parse_assertions(raw, ("spec", "assertions"))))
        except AssertionFormError as error:
            raise InputError(f"{item.place(error.complaints[0].path)}: {item}: {error}") from error
    return found


def run(assembly: Assembly, settings: Settings = DEFAULT_SETTINGS) -> Iterator[Outcome]:
    """The outcome of every assertion: those of files first, then each profile's. Raises InputError."""
    found = suites(assembly)
    if found:
        table = ConnectionMap(assembly.world, settings)
        for item, assertions in found:
            for index, assertion in enumerate(assertions):
                result = check(table, assertion)
                place = item.place(("spec", "assertions", index))
                yield Outcome(str(item), place, result, tuple(_examples(assembly, result, settings)))
    for profile, item in assembly.profiles:
        violated = {
            refusal.assertion: (space, refusal) for space, refusal in assembly.violated.get(profile.name, ())
        }
        for index, assertion in enumerate(profile.assertions):
            place = item.place(("spec", "assertions", index))
            checked = max(1, len(assembly.selected.get(profile.name, ())))
            space, refusal = violated.get(assertion.name, ("", None))
            if refusal is None:
                result = Result(assertion, "passed", checked)
            else:
                where = f" (in namespace {space})" if space else ""
                message = refusal.message.removeprefix(f"{assertion.name}: ") + where
                result = Result(assertion, "failed", checked, 1, (), message)
            yield Outcome(str(item), place, result, (), "namespace")


def _examples(assembly: Assembly, result: Result, settings: Settings) -> Iterator[Example]:
    words, world = words_of(assembly), assembly.world
    for violation in result.examples:
        found = verdict(world, *violation.example, settings)
        why = (
            reasons(world, found, words, settings)
            if found.allowed
            else blocking(world, found, words, settings)
        )
        yield Example(violation, headline(found, words, violation.ports), why)
