"""Ask whether what the image installs has known vulnerabilities, and say so when nobody could answer.

    python dev/vulnerabilities.py [REQUIREMENTS]

pip-audit alone says "No known vulnerabilities found" and exits with 0 when it could not reach its data: it skips
what it cannot look up. Exit codes here: 0 none known, 1 some found, 2 not audited.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to print, and the exit code."""

    text: str
    code: int


def judge(pinned: set[str], report: Any, complaint: str) -> Answer:
    """What an audit has shown. `report` is pip-audit's JSON, or None where it gave none."""
    dependencies = report.get("dependencies", []) if isinstance(report, dict) else []
    looked_up = {d["name"] for d in dependencies if "skip_reason" not in d}
    found = [
        f"{d['name']} {d['version']}: {v['id']}, fixed in {', '.join(v['fix_versions']) or 'no version yet'}"
        for d in dependencies
        for v in d.get("vulns", [])
    ]
    if found:
        return Answer("\n".join(["vulnerable:", *(f"  {line}" for line in found)]), 1)
    missing = sorted(pinned - looked_up)
    if missing:
        reasons = {d["skip_reason"] for d in dependencies if "skip_reason" in d}
        reason = "; ".join(sorted(reasons)) or (complaint.strip().splitlines() or ["no answer"])[-1]
        return Answer(
            f"not audited: {len(missing)} of {len(pinned)} packages could not be looked up: {reason}", 2
        )
    return Answer(f"no known vulnerabilities in {len(pinned)} packages", 0)


def pins(text: str) -> set[str]:
    """The names in a requirements file with hashes, for this Python and platform."""
    from packaging.requirements import Requirement

    found = (line.split(" \\")[0].strip() for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line))
    read = [Requirement(line) for line in found]
    return {r.name for r in read if r.marker is None or r.marker.evaluate()}


def main(arguments: Sequence[str]) -> int:
    """Audit a requirements file; the exit code."""
    file = Path(arguments[0]) if arguments else ROOT / "requirements" / "operator.txt"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--require-hashes"),
            *("--progress-spinner=off", "--timeout=15", "--format=json", f"--requirement={file}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = None
    answer = judge(pins(file.read_text(encoding="utf-8")), report, done.stderr)
    print(answer.text)
    return answer.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
