"""The table of attempts in docs/security.md and its summary in SECURITY.md, from what a run has recorded.

    make attacks                           tries everything and records the outcomes in results.json
    python -m attacks.table                writes the tables (PYTHONPATH=dev:tests)
    python -m attacks.table --check        writes nothing; exit code 1 and the names of stale pages

An attempt that was not recorded, or one that was recorded and is not tried any more, is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attacks.attempts import ATTEMPTS, Attempt
from attacks.claims import CLAIMS
from attacks.scene import ACTORS

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = Path(__file__).with_name("results.json")
SEEN: Final = ("refused", "harmless", "open")
Results = dict[str, Any]


class StaleResultsError(ValueError):
    """What was recorded and what is tried are not the same."""


def recorded() -> Results:
    """What the last recorded run saw."""
    found: Results = json.loads(RESULTS.read_text())
    return found


def outcomes(results: Results, attempts: Sequence[Attempt]) -> list[tuple[Attempt, str, str]]:
    """Each attempt with what came of it without the guard and with it. Raises StaleResultsError."""
    known = {
        (line["actor"], line["attempt"]): line
        for line in results["attempts"]
        if "without" in line and "guarded" in line
    }
    tried = {(attempt.actor, attempt.what) for attempt in attempts}
    if lacking := sorted(tried - set(known)):
        raise StaleResultsError(f"not recorded: {lacking}; run `make attacks`")
    if surplus := sorted(set(known) - tried):
        raise StaleResultsError(f"recorded, and not tried any more: {surplus}; run `make attacks`")
    return [(a, known[a.actor, a.what]["without"], known[a.actor, a.what]["guarded"]) for a in attempts]


def table(results: Results, attempts: Sequence[Attempt] = ATTEMPTS) -> str:
    """One line for each attempt; what came out alike for several actors is one line."""
    lines: dict[tuple[str, str, str, str], list[str]] = {}
    for attempt, without, guarded in outcomes(results, attempts):
        lines.setdefault((attempt.what, without, guarded, attempt.closed_by), []).append(attempt.actor)
    shown = [
        "| attempt | by | without the guard | with the guard | what closes it |",
        "|---|---|---|---|---|",
    ]
    for (what, without, guarded, closed_by), actors in lines.items():
        who = "a tenant" if actors == ["edit", "admin"] else " or ".join(ACTORS[actor] for actor in actors)
        shown.append(f"| {what} | {who} | {_bold(without)} | {_bold(guarded)} | {closed_by} |")
    return "\n".join(shown)


def summary(results: Results, attempts: Sequence[Attempt] = ATTEMPTS) -> str:
    """How many attempts of each actor came out how."""
    without: Counter[tuple[str, str]] = Counter()
    guarded: Counter[tuple[str, str]] = Counter()
    for attempt, one, other in outcomes(results, attempts):
        without[attempt.actor, one] += 1
        guarded[attempt.actor, other] += 1
    lines = [
        "| who tries | attempts | refused | harmless | open | with the guard: refused | harmless | open |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for actor, words in ACTORS.items():
        numbers = [str(counted[actor, seen]) for counted in (without, guarded) for seen in SEEN]
        total = sum(without[actor, seen] for seen in SEEN)
        lines.append(f"| {words} | {total} | {' | '.join(numbers)} |")
    totals = [
        str(sum(counted[actor, seen] for actor in ACTORS)) for counted in (without, guarded) for seen in SEEN
    ]
    lines.append(f"| **all** | {len(attempts)} | {' | '.join(totals)} |")
    return "\n".join(lines)


def neighbours(results: Results) -> str:
    """What a neighbour's repair and new namespace took during each attack, as multiples."""
    lines = [
        "| while … | repair: beside quiet | beside the same load | new namespace: beside quiet | same load |",
        "|---|---|---|---|---|",
    ]
    for line in results["neighbours"]:
        keys = ("repair", "repair_idle", "new", "new_idle")
        cells = [f"{line[key]:.1f} ×" if key in line else "" for key in keys]
        lines.append(f"| {line['attack']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claims() -> str:
    """The sentences of SECURITY.md, each with its tests."""
    lines = ["| SECURITY.md says | tests |", "|---|---|"]
    for words, tests in CLAIMS.items():
        named = "<br>".join(f"[{test.partition('::')[2]}](../{test.partition('::')[0]})" for test in tests)
        # Links of a page in the root, on a page in docs/.
        lines.append(f"| {words.replace('](', '](../')} | {named} |")
    return "\n".join(lines)


def _bold(outcome: str) -> str:
    return "**open**" if outcome == "open" else outcome


def pages(results: Results) -> dict[Path, str]:
    """The pages as they should be."""
    made = {}
    for name, parts in (
        (
            "docs/security.md",
            {"attempts": table(results), "neighbours": neighbours(results), "claims": claims()},
        ),
        ("SECURITY.md", {"summary": summary(results)}),
    ):
        path = ROOT / name
        text = path.read_text()
        for part, content in parts.items():
            begin, end = f"<!-- {part}: made by tests/attacks/table.py -->", f"<!-- end of {part} -->"
            pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
            if len(pattern.findall(text)) != 1:
                raise StaleResultsError(f"{name}: expected {begin!r} and {end!r} once")
            new = f"{begin}\n\n{content}\n\n{end}"
            text = pattern.sub(lambda _, new=new: new, text)  # type: ignore[misc]
        made[path] = text
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    only_check = parser.parse_args().check
    try:
        made = pages(recorded())
    except StaleResultsError as error:
        print(error, file=sys.stderr)
        return 1
    stale = [path for path, text in made.items() if path.read_text() != text]
    for path in stale:
        if only_check:
            print(f"stale: {path.relative_to(ROOT)}; run python -m attacks.table", file=sys.stderr)
        else:
            path.write_text(made[path])
    return 1 if stale and only_check else 0


if __name__ == "__main__":
    sys.exit(main())
