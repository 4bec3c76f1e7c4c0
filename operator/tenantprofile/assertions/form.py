"""The form of an assertion: the same in files (`kind: NetworkAssertions`) and in TenantProfiles.

    - name: the frontend cannot reach the ledger
      from: {namespaces: [shop], podLabels: {tier: frontend}}
      to: {namespaces: [admin], podLabels: {app: ledger}}
      ports: [5432]
      expect: deny

An end names pods (by namespace, labels, workload), addresses, or everything outside of those. An
empty end is refused: here nothing means everything by being left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final, Literal

from tenantprofile.connectivity.addresses import NO_ADDRESSES, AddressSet, parse_address
from tenantprofile.connectivity.ports import (
    ALL_PORTS,
    EVERY_PORT,
    MAX_PORT,
    NO_PORTS,
    PROTOCOLS,
    PortSet,
    Protocol,
)
from tenantprofile.paths import Complaint, Path
from tenantprofile.policy.findings import nearest
from tenantprofile.selectors import is_label_key, is_label_value

Labels = tuple[tuple[str, str], ...]
Expectation = Literal["allow", "deny"]

_FIELDS: Final = ("name", "from", "to", "ports", "expect", "mayBeEmpty")
_END_FIELDS: Final = (
    "namespaces",
    "namespaceLabels",
    "podLabels",
    "workload",
    "addresses",
    "everyPod",
    "anything",
    "outside",
)
_ALONE: Final = ("addresses", "everyPod", "anything", "outside")
"""Fields of an end that go with no other."""


class AssertionFormError(ValueError):
    """Assertions that cannot be read; each complaint names the field, what was found, what would be right."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        super().__init__("; ".join(map(str, complaints)))
        self.complaints = tuple(complaints)


@dataclass(frozen=True, slots=True)
class End:
    """One side of an assertion. Of pods, all that is named must hold; what is left out does not matter.

    listed: addresses and ranges, one by one as somebody wrote them.
    """

    namespaces: tuple[str, ...] = ()
    namespace_labels: Labels = ()
    pod_labels: Labels = ()
    workload: str = ""
    listed: tuple[AddressSet, ...] = ()
    anything: bool = False
    outside: End | None = None

    @property
    def addresses(self) -> AddressSet:
        """All that are listed, together."""
        return reduce(or_, self.listed, NO_ADDRESSES)

    @property
    def names_namespace(self) -> bool:
        """Whether it says in which namespaces its pods are."""
        return bool(self.namespaces or self.namespace_labels)

    @property
    def is_pods(self) -> bool:
        """Pods and nothing else."""
        return not (self.addresses or self.anything or self.outside)

    def __str__(self) -> str:
        """As a person says it: `every pod in namespace shop`, `anything outside 10.0.0.0/8`."""
        if self.anything:
            return "anything"
        if self.outside is not None:
            return f"anything outside {str(self.outside).removeprefix('every pod in ')}"
        if self.addresses:
            return str(self.addresses)
        words = self.workload or (f"pods with {_joined(self.pod_labels)}" if self.pod_labels else "every pod")
        if self.namespaces:
            words += f" in namespace{'s' if len(self.namespaces) > 1 else ''} {' or '.join(self.namespaces)}"
        if self.namespace_labels:
            words += " with" if self.namespaces else " in namespaces with"
            words += f" {_joined(self.namespace_labels)}"
        return words


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that an assertion is about: numbers, and names that each destination pod resolves."""

    numbers: PortSet = NO_PORTS
    names: tuple[tuple[str, Protocol], ...] = ()

    @property
    def is_everything(self) -> bool:
        return self.numbers.is_everything

    def __str__(self) -> str:
        if self.is_everything:
            return "all ports"
        words = [str(self.numbers)] if self.numbers else []
        return ", ".join([*words, *(f"{protocol} {name}" for name, protocol in self.names)])


@dataclass(frozen=True, slots=True)
class NetworkAssertion:
    """From every source to every destination, each of the ports is allowed, or each is denied."""

    name: str
    source: End
    destination: End
    ports: Ports
    expect: Expectation
    may_be_empty: bool = False

    def __str__(self) -> str:
        several = str(self.source).startswith("pods")
        denied = "do not reach" if several else "does not reach"
        verb = denied if self.expect == "deny" else "reach" if several else "reaches"
        return f"{self.source} {verb} {self.destination} on {self.ports}"


def parse_assertions(raw: object, path: Path) -> tuple[NetworkAssertion, ...]:
    """A list of assertions. Raises AssertionFormError with every complaint."""
    reader = _Reader()
    if not isinstance(raw, list) or not raw:
        raise AssertionFormError(
            [Complaint(path, f"found {raw!r}; expected a list of at least one assertion")]
        )
    found = [reader.assertion(item, (*path, index)) for index, item in enumerate(raw)]
    seen: set[str] = set()
    for index, item in enumerate(found):
        if item is not None and item.name in seen:
            reader.complain(
                (*path, index, "name"), item.name, "a name of its own; an earlier one has this name"
            )
        seen.add(item.name if item is not None else "")
    if reader.complaints:
        raise AssertionFormError(reader.complaints)
    return tuple(item for item in found if item is not None)


class _Reader:
    def __init__(self) -> None:
        self.complaints: list[Complaint] = []

    def complain(self, path: Path, found: object, expected: str) -> None:
        self.refuse(path, f"found {found!r}; expected {expected}")

    def refuse(self, path: Path, message: str) -> None:
        self.complaints.append(Complaint(path, message))

    def assertion(self, raw: object, path: Path) -> NetworkAssertion | None:
        if not isinstance(raw, Mapping):
            self.complain(path, raw, "a map with name, from, to, ports and expect")
            return None
        before = len(self.complaints)
        self._known(raw, path, _FIELDS)
        name = raw.get("name")
        if not isinstance(name, str) or not name.strip():
            self.complain((*path, "name"), name, "a sentence that says what must be true")
        expect = raw.get("expect")
        if expect not in ("allow", "deny"):
            self.complain((*path, "expect"), expect, "allow or deny")
        may_be_empty = raw.get("mayBeEmpty", False)
        if not isinstance(may_be_empty, bool):
            self.complain((*path, "mayBeEmpty"), may_be_empty, "true or false")
        source = self.end(raw.get("from"), (*path, "from"))
        destination = self.end(raw.get("to"), (*path, "to"))
        if source and destination and source.addresses and destination.addresses:
            self.refuse(
                path,
                "from and to are both addresses, and no NetworkPolicy governs what passes between"
                " addresses; expected pods on one side",
            )
        ports = self.ports(raw.get("ports"), (*path, "ports"))
        if len(self.complaints) > before or source is None or destination is None:
            return None
        return NetworkAssertion(
            str(name), source, destination, ports, "allow" if expect == "allow" else "deny", may_be_empty
        )

    def end(self, raw: object, path: Path, *, inside: bool = False) -> End | None:
        if not isinstance(raw, Mapping) or not raw:
            self.complain(
                path,
                raw,
                "who is meant: namespaces, namespaceLabels, podLabels, workload or addresses; for all of"
                " them everyPod: true or anything: true",
            )
            return None
        before = len(self.complaints)
        self._known(raw, path, _END_FIELDS)
        for field in _ALONE:
            if field in raw and len(raw) > 1:
                others = ", ".join(str(key) for key in raw if key != field)
                self.refuse((*path, field), f"cannot be combined with {others}; expected {field} on its own")
        for field in ("everyPod", "anything"):
            if field in raw and raw[field] is not True:
                self.complain((*path, field), raw[field], "true, or the field left out")
        if inside and ("anything" in raw or "outside" in raw):
            self.complain(path, dict(raw), "pods or addresses to be outside of")
        workload = raw.get("workload", "")
        if not isinstance(workload, str) or ("workload" in raw and not _is_workload(workload)):
            self.complain((*path, "workload"), workload, "kind/name such as deployment/frontend")
        if "workload" in raw and "podLabels" in raw:
            self.refuse((*path, "workload"), "cannot be combined with podLabels; expected one of the two")
        found = End(
            namespaces=self._names(raw, path),
            namespace_labels=self._labels(raw, "namespaceLabels", path),
            pod_labels=self._labels(raw, "podLabels", path),
            workload=str(workload),
            listed=self._addresses(raw, path),
            anything="anything" in raw,
            outside=self.end(raw["outside"], (*path, "outside"), inside=True) if "outside" in raw else None,
        )
        return found if len(self.complaints) == before else None

    def ports(self, raw: object, path: Path) -> Ports:
        if raw is None:
            return Ports(ALL_PORTS)
        if not isinstance(raw, list) or not raw:
            self.complain(path, raw, "a list such as [8080, 53/UDP], or the field left out for all ports")
            return Ports()
        numbers = NO_PORTS
        names: list[tuple[str, Protocol]] = []
        for index, item in enumerate(raw):
            try:
                one = parse_port(item)
            except ValueError as error:
                self.refuse((*path, index), str(error))
                continue
            numbers |= one.numbers
            names.extend(one.names)
        return Ports(numbers, tuple(sorted(set(names))))

    def _known(self, raw: Mapping[str, Any], path: Path, known: tuple[str, ...]) -> None:
        for key in raw:
            if key not in known:
                hint = nearest(str(key), known)
                self.refuse((*path, str(key)), f"unknown field{hint}; expected {', '.join(known)}")

    def _names(self, raw: Mapping[str, Any], path: Path) -> tuple[str, ...]:
        names = raw.get("namespaces", ())
        if "namespaces" in raw and (
            not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names)
        ):
            self.complain((*path, "namespaces"), names, "a list of namespace names such as [shop]")
            return ()
        return tuple(sorted(set(names)))

    def _labels(self, raw: Mapping[str, Any], field: str, path: Path) -> Labels:
        labels = raw.get(field, {})
        if not isinstance(labels, Mapping) or (field in raw and not labels):
            self.complain((*path, field), labels, "a map of labels such as {app: frontend}")
            return ()
        for key, value in labels.items():
            if not is_label_key(key):
                self.complain((*path, field), key, "a label key such as app.kubernetes.io/name")
            elif not is_label_value(value):
                self.complain((*path, field, str(key)), value, "a label value, which is a string")
        return tuple(sorted((str(key), str(value)) for key, value in labels.items()))

    def _addresses(self, raw: Mapping[str, Any], path: Path) -> tuple[AddressSet, ...]:
        listed = raw.get("addresses", [])
        if not isinstance(listed, list) or ("addresses" in raw and not listed):
            self.complain((*path, "addresses"), listed, "a list such as [10.50.0.0/24, 2001:db8::1]")
            return ()
        result: list[AddressSet] = []
        for index, item in enumerate(listed):
            try:
                result.append(parse_addresses(item))
            except ValueError as error:
                self.refuse((*path, "addresses", index), str(error))
        return tuple(result)


def parse_addresses(raw: object) -> AddressSet:
    """An address or a CIDR. Raises ValueError."""
    if not isinstance(raw, str):
        raise ValueError(f"found {raw!r}; expected an address or a CIDR such as 10.50.0.0/24")
    try:
        return AddressSet.block(raw) if "/" in raw else AddressSet.of(parse_address(raw))
    except ValueError as error:
        raise ValueError(f"found {raw!r}; expected an address or a CIDR such as 10.50.0.0/24") from error


def parse_port(raw: object) -> Ports:
    """`8080`, `53/UDP`, `8000-8080/TCP`, `*/TCP`, or a name such as `http`. Raises ValueError."""
    expected = "expected a port such as 8080, 53/UDP, 8000-8080/TCP, */TCP or the name of a port"
    if isinstance(raw, bool) or not isinstance(raw, int | str) or raw == "":
        raise ValueError(f"found {raw!r}; {expected}")
    text, _, word = str(raw).partition("/")
    protocol = next((p for p in PROTOCOLS if p == (word or "TCP").upper()), None)
    if protocol is None:
        raise ValueError(f"found {raw!r}; expected TCP, UDP or SCTP after the slash")
    if text == "*":
        return Ports(EVERY_PORT[protocol])
    first, dash, last = text.partition("-")
    if first.isdigit() and (not dash or last.isdigit()):
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= MAX_PORT:
            raise ValueError(f"found {raw!r}; expected numbers from 1 to {MAX_PORT}, the lower one first")
        return Ports(PortSet.of(protocol, low, high))
    if not text.replace("-", "").isalnum() or text != text.lower() or len(text) > 15:
        raise ValueError(f"found {raw!r}; {expected}")
    return Ports(NO_PORTS, ((text, protocol),))


def _is_workload(text: str) -> bool:
    kind, slash, name = text.partition("/")
    return bool(kind and slash and name) and "/" not in name


def _joined(labels: Labels) -> str:
    return ",".join(f"{key}={value}" for key, value in labels)
