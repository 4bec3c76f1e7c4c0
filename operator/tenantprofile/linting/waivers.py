"""Waivers: a finding that somebody knows of and accepts, with the reason and until a date.

Two forms, both beside what they waive:

    metadata:
      annotations:
        tenantprofile.dev/lint-waive: "every-address: public mirror, until 2027-01-31"

    # tenantprofile-lint: waive every-address until 2027-01-31: public mirror
    - ipBlock: {cidr: 0.0.0.0/0}

The annotation is for the whole object, or as `<rule>@<entry>` for one entry of a profile; several stand
in lines of their own or between semicolons. The comment is for what begins on its own or the next line,
with all that is below it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tenantprofile.input.objects import SourceObject
from tenantprofile.linting.catalogue import (
    ANNOTATION_WAIVE,
    RULES,
    WAIVER_EXPIRED,
    WAIVER_INVALID,
    WAIVER_UNUSED,
)
from tenantprofile.linting.placed import Placed, Waiver
from tenantprofile.policy.findings import Finding, Path, Rule, nearest, shown

_ANNOTATION: Final = re.compile(
    r"(?P<rule>[^\s:@]*)(@(?P<entry>[^\s:]*))?\s*:(?P<reason>.*?)[,\s]*(\buntil\b\s*(?P<until>\S*))?\s*"
)
_COMMENT: Final = re.compile(r"(?:^|\s)#\s*tenantprofile-lint:\s*(?P<text>.*?)\s*$")
_WAIVE: Final = re.compile(
    r"waive\b\s*(?P<rule>[^\s:]*?)\s*(\buntil\b\s*(?P<until>[^\s:]*))?\s*(:(?P<reason>.*))?"
)
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NOT_ANNOUNCED: Final = frozenset({"cluster", "together", "waivers"})
"""Groups whose findings come and go with the rest of the input: a waiver may be of use another time."""


@dataclass(slots=True)
class _Written:
    """A waiver where it stands. line: what begins there is waived; None: the whole object."""

    waiver: Waiver
    item: SourceObject
    path: Path
    at: int | None = None
    line: int | None = None
    used: bool = False

    def covers(self, placed: Placed) -> bool:
        if placed.rule.id != self.waiver.rule:
            return False
        if self.line is not None:
            return placed.item.origin.source == self.item.origin.source and self.line in _lines(placed)
        if placed.item is not self.item:
            return False
        return not self.waiver.entry or placed.entry == self.waiver.entry


def apply(
    findings: Iterable[Placed], objects: Iterable[SourceObject], today: str, judged: frozenset[str]
) -> list[Placed]:
    """The findings with their waivers, and the findings about waivers. today: as 2027-01-31."""
    told: list[Placed] = []
    valid: list[_Written] = []
    for written in _all(objects, told):
        if written.waiver.until < today:
            message = f"the waiver of {written.waiver.rule} ended on {written.waiver.until}"
            told.append(_told(WAIVER_EXPIRED, written, message))
        else:
            valid.append(written)
    by_rule: dict[str, list[_Written]] = defaultdict(list)
    for written in valid:
        by_rule[written.waiver.rule].append(written)
    result = []
    for placed in findings:
        hit = next((w for w in by_rule.get(placed.rule.id, ()) if w.covers(placed)), None)
        if hit is None:
            result.append(placed)
        else:
            hit.used = True
            result.append(replace(placed, waiver=hit.waiver))
    for written in valid:
        rule = written.waiver.rule
        if not written.used and rule in judged and RULES[rule].group not in _NOT_ANNOUNCED:
            told.append(_told(WAIVER_UNUSED, written, f"nothing here to be waived by {rule}"))
    return [*result, *told]


def is_date(text: str) -> bool:
    """Whether a text is a day of the calendar, as 2027-01-31."""
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1]:
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (month, day) != (2, 29) or leap


def _all(objects: Iterable[SourceObject], told: list[Placed]) -> Iterator[_Written]:
    first: dict[str, list[SourceObject]] = defaultdict(list)
    for item in objects:
        if item.origin.document is not None:
            first[item.origin.source].append(item)
        annotations = item.metadata.get("annotations")
        text = annotations.get(ANNOTATION_WAIVE) if isinstance(annotations, Mapping) else None
        if text is not None:
            yield from _annotation(item, str(text), told)
    for items in first.values():
        yield from _comments(items, told)


def _annotation(item: SourceObject, text: str, told: list[Placed]) -> Iterator[_Written]:
    path: Path = ("metadata", "annotations", ANNOTATION_WAIVE)
    for part in re.split(r"[;\n]", text):
        if not part.strip():
            continue
        found = _ANNOTATION.fullmatch(part.strip())
        if found is None:
            message = f"found {shown(part.strip())}"
            told.append(Placed(Finding(WAIVER_INVALID, path, message), item, path))
            continue
        waiver = Waiver(found["rule"], found["reason"].strip(), found["until"] or "", found["entry"] or "")
        if complaint := _complaint(waiver):
            told.append(Placed(Finding(WAIVER_INVALID, path, complaint), item, path))
        else:
            yield _Written(waiver, item, path)


def _comments(items: list[SourceObject], told: list[Placed]) -> Iterator[_Written]:
    """The comments of one file."""
    document = items[0].origin.document
    text = document.text if document is not None else ""
    if "tenantprofile-lint:" not in text:
        return
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        comment = _COMMENT.search(line)
        if comment is None:
            continue
        target = number if line[: comment.start()].strip() else _next(lines, number)
        item = _around(items, target)
        found = _WAIVE.fullmatch(comment["text"])
        if found is None:
            message = f"found {shown(comment['text'])}, expected waive <rule> until <date>: <reason>"
            told.append(Placed(Finding(WAIVER_INVALID, (), message), item, (), at=number))
            continue
        waiver = Waiver(found["rule"], (found["reason"] or "").strip(), found["until"] or "")
        if complaint := _complaint(waiver):
            told.append(Placed(Finding(WAIVER_INVALID, (), complaint), item, (), at=number))
        else:
            yield _Written(waiver, item, (), number, target)


def _next(lines: list[str], number: int) -> int:
    """The next line that is neither empty, nor a comment, nor the beginning of a document."""
    for following in range(number, len(lines)):
        text = lines[following].strip()
        if text and not text.startswith(("#", "---")):
            return following + 1
    return number


def _around(items: list[SourceObject], line: int) -> SourceObject:
    """The object of a file in which a line is."""
    before = [item for item in items if (item.origin.line() or 0) <= line]
    return max(before, key=lambda item: item.origin.line() or 0, default=items[0])


def _lines(placed: Placed) -> set[int]:
    """The lines on which begins what the finding is in."""
    origin = placed.item.origin
    if origin.document is None:
        return set()
    whole = (*origin.prefix, *placed.path)
    found = {
        place[0] for end in range(len(whole) + 1) if (place := origin.document.positions.get(whole[:end]))
    }
    return found if placed.at is None else found | {placed.at}


def _complaint(waiver: Waiver) -> str:
    """What is missing or wrong, or nothing."""
    rule = waiver.rule
    if not rule:
        return "it names no rule"
    if rule not in RULES:
        return f"no rule {shown(rule)}{nearest(rule, RULES)}"
    if RULES[rule].group in ("api", "waivers"):
        return f"{rule} cannot be waived" + (
            ": the API server refuses the object all the same" if RULES[rule].group == "api" else ""
        )
    if not waiver.reason:
        return f"the waiver of {rule} gives no reason"
    if not waiver.until:
        return f"the waiver of {rule} has no end; expected `until` and a date like 2027-01-31"
    if not is_date(waiver.until):
        return f"the waiver of {rule} ends on {shown(waiver.until)}; expected a date like 2027-01-31"
    return ""


def _told(rule: Rule, written: _Written, message: str) -> Placed:
    return Placed(Finding(rule, written.path, message), written.item, written.path, at=written.at)
