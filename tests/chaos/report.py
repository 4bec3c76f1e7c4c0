"""What a run of the fault suite leaves behind: one JSON file and one Markdown page."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaos.verdict import Verdict, spread

FOLDER = Path(os.environ.get("TENANTPROFILE_CHAOS_REPORT", "build/chaos"))


@dataclass(slots=True)
class CampaignReport:
    """One kind of trouble, from its first fault to the quiet at the end."""

    name: str
    faults: dict[str, int] = field(default_factory=dict)
    """Incidents, by kind: what the test did once is one, however many requests it hit."""
    requests_hit: dict[str, int] = field(default_factory=dict)
    api_server_said: dict[str, int] = field(default_factory=dict)
    acts: dict[str, int] = field(default_factory=dict)
    namespaces: int = 0
    sightings: int = 0
    moments_lost: list[dict[str, Any]] = field(default_factory=list)
    wrong_specs: list[dict[str, Any]] = field(default_factory=list)
    wrong_end_states: list[str] = field(default_factory=list)
    late_writes: int = 0
    back_writes: int = 0
    unwanted_creations: int = 0
    seconds_to_converge: float = 0.0
    comparison_interval: float = 0.0
    repaired_after_deletion: dict[str, float] = field(default_factory=dict)
    repaired_after_edit: dict[str, float] = field(default_factory=dict)
    first_protected: dict[str, float] = field(default_factory=dict)
    operator_starts: int = 0
    operator_exits: dict[str, int] = field(default_factory=dict)
    """Ends of its own accord, by exit message."""
    writes_in_quiet: int = 0
    quiet_seconds: float = 0.0
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """Why the campaign failed; empty when it did not."""

    def judged(self, verdict: Verdict) -> None:
        self.sightings = verdict.sightings
        self.moments_lost = [asdict(m) for m in verdict.lost]
        self.wrong_specs = [asdict(m) for m in verdict.wrong]
        self.late_writes, self.back_writes = verdict.late, verdict.back
        self.unwanted_creations = verdict.unwanted
        for cause, name in (("deleted by the test", "deletion"), ("edited by the test", "edit")):
            setattr(
                self,
                f"repaired_after_{name}",
                spread([m.seconds for m in verdict.tenant if m.cause == cause]),
            )
        self.first_protected = spread(verdict.first)


class Report:
    """All campaigns of a run."""

    def __init__(self, scale: str, seed: int) -> None:
        self.scale = scale
        self.seed = seed
        self.began = time.time()
        self.campaigns: list[CampaignReport] = []

    def write(self, folder: Path = FOLDER) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "scale": self.scale,
            "seed": self.seed,
            "seconds": round(time.time() - self.began),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
            "totals": self.totals(),
            "campaigns": [asdict(campaign) for campaign in self.campaigns],
        }
        (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n")
        page = folder / "report.md"
        page.write_text(self.markdown(content))
        return page

    def totals(self) -> dict[str, Any]:
        def together(field_: str) -> int:
            return sum(sum(getattr(c, field_).values()) for c in self.campaigns)

        by_kind: Counter[str] = Counter()
        for campaign in self.campaigns:
            by_kind.update(campaign.faults)
        return {
            "faults": together("faults"),
            "faults by kind": dict(by_kind.most_common()),
            "requests hit": together("requests_hit"),
            "acts of tenants and platform team": together("acts"),
            "sightings": sum(c.sightings for c in self.campaigns),
            "moments of lost protection caused by the operator": sum(
                len(c.moments_lost) for c in self.campaigns
            ),
            "specs that nobody wanted": sum(len(c.wrong_specs) for c in self.campaigns),
            "wrong end states": sum(len(c.wrong_end_states) for c in self.campaigns),
            "writes in the quiet": sum(c.writes_in_quiet for c in self.campaigns),
            "slowest convergence, seconds": max((c.seconds_to_converge for c in self.campaigns), default=0.0),
        }

    def markdown(self, content: dict[str, Any]) -> str:
        totals = content["totals"]
        lines = [
            "# Under fire: the referee's report",
            "",
            f"Scale {self.scale}, seed {self.seed}, {content['seconds']} s, {content['machine']}.",
            "",
            "| | |",
            "| --- | ---: |",
            *(f"| {name} | {value} |" for name, value in totals.items() if not isinstance(value, dict)),
            "",
            "## Campaigns",
            "",
            "| campaign | faults | requests hit | acts | sightings | lost | wrong specs | wrong end states"
            " | converged after (limit) | deletion repaired p50 / max | edit repaired p50 / max"
            " | operator starts | writes in quiet |",
            "| --- |" + " ---: |" * 12,
        ]
        for c in self.campaigns:
            lines.append(
                f"| {c.name} | {sum(c.faults.values())} | {sum(c.requests_hit.values())} | {sum(c.acts.values())}"
                f" | {c.sightings} | {len(c.moments_lost)} | {len(c.wrong_specs)} | {len(c.wrong_end_states)}"
                f" | {c.seconds_to_converge:.1f} s ({c.comparison_interval:.0f} s)"
                f" | {_two(c.repaired_after_deletion)} | {_two(c.repaired_after_edit)} | {c.operator_starts}"
                f" | {c.writes_in_quiet} in {c.quiet_seconds:.0f} s |"
            )
        lines += ["", "## Faults by kind", "", "| fault | times |", "| --- | ---: |"]
        lines += [f"| {kind} | {count} |" for kind, count in totals["faults by kind"].items()]
        lines += ["", "## Moments of lost protection caused by the operator", ""]
        lost = [(c.name, m) for c in self.campaigns for m in c.moments_lost + c.wrong_specs]
        lines += [f"- {name}: {m}" for name, m in lost] or ["None."]
        return "\n".join(lines) + "\n"


def _two(values: dict[str, float]) -> str:
    if not values.get("count"):
        return "–"
    return f"{values['p50']:.2f} / {values['max']:.1f} s"
