"""The `format`s that a template's parameters may name, and what each of them accepts.

Kubernetes ignores formats that it does not know (apiextensions, structural schemas), so a schema with
these is still an OpenAPI schema; here they are checked, and a finding says what would be right.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from jsonschema import FormatChecker

from tenantprofile.policy.addresses import parse_cidr
from tenantprofile.policy.validity import check_selector, is_port_name
from tenantprofile.selectors import is_label_key, is_label_value

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _cidr(value: Any, family: type | None = None) -> None:
    if not isinstance(value, str):
        return
    found = parse_cidr(value)
    if found is None:
        raise ValueError("not an address range")
    if found.host_bits:
        raise ValueError(f"has host bits; the range around it is {found.network}")
    if found.leading_zeros:
        raise ValueError("has leading zeros, which some readers take for octal numbers")
    if found.mapped:
        raise ValueError("is IPv4 written as IPv6")
    if family is not None and not isinstance(found.network, family):
        raise ValueError("is of the other address family")


def _ipv4_cidr(value: Any) -> None:
    _cidr(value, ipaddress.IPv4Network)


def _ipv6_cidr(value: Any) -> None:
    _cidr(value, ipaddress.IPv6Network)


def _ip(value: Any) -> None:
    if isinstance(value, str):
        try:
            scoped = "%" in value
            ipaddress.ip_address(value)
        except ValueError:
            raise ValueError("not an address") from None
        if scoped:
            raise ValueError("is an address with a zone, which means something on one machine only")


def _dns_label(value: Any) -> None:
    if isinstance(value, str) and not _DNS_LABEL.fullmatch(value):
        raise ValueError("not a DNS label")


def _label_key(value: Any) -> None:
    if isinstance(value, str) and not is_label_key(value):
        raise ValueError("not a label key")


def _label_value(value: Any) -> None:
    if isinstance(value, str) and not is_label_value(value):
        raise ValueError("not a label value")


def _port(value: Any) -> None:
    if isinstance(value, bool):
        raise ValueError("not a port")
    if isinstance(value, int) and not 1 <= value <= 65535:
        raise ValueError("out of range")
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            raise ValueError("a number in quotes is the name of a port")
        if not is_port_name(value):
            raise ValueError("not the name of a port")


def _label_selector(value: Any) -> None:
    if not isinstance(value, Mapping):
        return
    for finding in check_selector(value):
        raise ValueError(str(finding))
    if value and not any(value.values()):
        raise ValueError("has terms that say nothing and would select everything")


FORMATS: Final[Mapping[str, tuple[Callable[[Any], None], str]]] = {
    "cidr": (_cidr, "an address range like 10.50.0.0/24 or 2001:db8::/32, without host bits"),
    "ipv4-cidr": (_ipv4_cidr, "an IPv4 range like 10.50.0.0/24, without host bits"),
    "ipv6-cidr": (_ipv6_cidr, "an IPv6 range like 2001:db8::/32, without host bits"),
    "ip": (_ip, "an address like 10.50.0.7 or 2001:db8::7"),
    "dns-label": (_dns_label, "at most 63 of a-z, 0-9 and inner '-', like a namespace's name"),
    "label-key": (_label_key, "a label key like app or app.kubernetes.io/name"),
    "label-value": (_label_value, "a label value: at most 63 letters, digits, '-', '_', '.'"),
    "label-selector": (_label_selector, "a label selector with matchLabels or matchExpressions; {} for all"),
    "port": (_port, "a number from 1 to 65535, or the name of a container port"),
}
"""Each format's check (raises ValueError) and what it expects, in plain words."""

CHECKER: Final = FormatChecker(formats=())


def _register(name: str, check: Callable[[Any], None]) -> None:
    def conforms(value: object) -> bool:
        check(value)
        return True

    CHECKER.checks(name, raises=ValueError)(conforms)


for _name, (_check, _) in FORMATS.items():
    _register(_name, _check)
