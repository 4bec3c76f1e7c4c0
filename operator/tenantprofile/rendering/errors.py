"""Why nothing was rendered, for the person who can change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tenantprofile.policy.findings import Finding, Path

Kind = Literal["InvalidParameters", "RenderFailed", "PolicyRefused"]

_SHOWN = 5
"""Findings in a message; all of them are in `findings`."""


class RenderError(Exception):
    """A render that gave no policy.

    `kind` InvalidParameters: the profile must change. RenderFailed: the template could not be carried
    out. PolicyRefused: it rendered what may not be applied. `line` is the line in `source`, the
    template's file or PolicyTemplate; `path` leads into the parameters or the rendered spec.
    """

    def __init__(
        self,
        kind: Kind,
        template: str,
        source: str,
        message: str = "",
        line: int | None = None,
        path: Path = (),
        findings: Sequence[Finding] = (),
    ) -> None:
        self.kind: Kind = kind
        self.template = template
        self.source = source
        self.findings = tuple(findings)
        self.line = line if line is not None or not findings else findings[0].line
        self.path = path if path or not findings else findings[0].path
        self.message = message or _joined(self.findings, self.line)
        super().__init__(self.message)

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line is not None else self.source
        return f"template {self.template!r} ({place}): {self.message}"


def _joined(findings: Sequence[Finding], line: int | None) -> str:
    told = [
        str(finding) if finding.line in (None, line) else f"{finding} (line {finding.line})"
        for finding in findings[:_SHOWN]
    ]
    if len(findings) > _SHOWN:
        told.append(f"and {len(findings) - _SHOWN} more")
    return "; ".join(told)
