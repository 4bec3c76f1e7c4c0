"""Label selectors as they stand in a query string (Kubernetes documentation, Labels and Selectors)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_SET = re.compile(r"^(\S+) (in|notin) \((.*)\)$")

Matches = Callable[[Mapping[str, str]], bool]


def parse(text: str) -> Matches:
    """Whether labels match all of the requirements."""
    wanted = [_requirement(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda labels: all(requirement(labels) for requirement in wanted)


def _requirement(text: str) -> Matches:
    if found := _SET.match(text):
        key, operator, values = found.group(1), found.group(2), {v.strip() for v in found.group(3).split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if "!=" in text:
        key, value = text.split("!=")
        return lambda labels: labels.get(key.strip()) != value.strip()
    if "=" in text:
        key, value = re.split("==?", text)
        return lambda labels: labels.get(key.strip()) == value.strip()
    if text.startswith("!"):
        return lambda labels: text[1:] not in labels
    return lambda labels: text in labels
