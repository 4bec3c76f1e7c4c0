"""The benchmark, as small as it goes: every scenario runs, and what must hold at any speed holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(180)
def test_every_scenario_runs_and_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    figures, plots = tmp_path / "figures.json", tmp_path / "plots"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "--sizes=25",
            "--rest=2",
            "--samples=2",
            "--storm=40",
            "--rounds=1",
            f"--json={figures}",
            f"--plots={plots}",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    values = json.loads(figures.read_text())["sizes"]["25"]
    assert values["restart_writes"] == 0
    assert values["rest_writes"] == 0
    assert values["rollout_missing"] == 0
    assert values["storm_edits"] == 40
    for measured in ("adoption_ratio", "rollout_ratio", "repair_ratio", "restore_ratio", "protect_p50_ratio"):
        assert values[measured] > 0
    assert (plots / "performance-goals.svg").read_text().startswith("<svg")
