"""What a template may know about the namespace and the profile that it is rendered for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """A namespace as templates see it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """A profile as templates see it."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
