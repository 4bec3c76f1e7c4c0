"""What the watcher has written down, read back: how much so far (cheap), and what (afterwards)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[1]


class Overdue(RuntimeError):
    """Something that was waited for did not happen."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One watch event; `at` is when it was received, in seconds of the machine's monotonic clock."""

    at: float
    type: str
    namespace: str
    name: str
    spec: str
    """Canonical JSON, so that two can be compared."""


class Record:
    """A watcher process on one collection, and what it has seen."""

    def __init__(self, kubeconfig: Path, path: str, target: Path) -> None:
        self._command = [sys.executable, "-m", "benchmarks.watcher", str(kubeconfig), path, str(target)]
        self._target = target
        self._offset = 0
        self._lines = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: ASYNC220 (takes a millisecond, before anything is timed)
            self._command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not self.lines():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Overdue("the watcher does not watch")
            await asyncio.sleep(0.02)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def lines(self) -> int:
        """How many events there are so far (and one line at the beginning)."""
        if self._target.exists():
            with self._target.open("rb") as file:
                file.seek(self._offset)
                while chunk := file.read(1 << 20):
                    self._lines += chunk.count(b"\n")
                    self._offset += len(chunk)
        return self._lines

    def mark(self) -> Mark:
        """From here on; a later call of `since` reads what came after."""
        lines = self.lines()
        return Mark(lines, self._offset)

    def since(self, mark: Mark) -> list[Sighting]:
        """What was seen after a mark."""
        with self._target.open("rb") as file:
            file.seek(mark.offset)
            raw = file.read()
        return [_sighting(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines() if b"\t" in line]

    async def grows(
        self, mark: Mark, events: int, *, within: float, every: float = 0.1, what: str = "events"
    ) -> None:
        """Wait for that many events after a mark. Raises Overdue."""
        deadline = time.monotonic() + within
        while (have := self.lines() - mark.lines) < events:
            if self._process is None or self._process.poll() is not None:
                raise Overdue(f"the watcher ended after {self._target.read_bytes()[-300:]!r}")
            if time.monotonic() > deadline:
                raise Overdue(f"only {have} of {events} {what} within {within:.0f} s")
            await asyncio.sleep(every)


@dataclass(frozen=True, slots=True)
class Mark:
    lines: int
    offset: int


def _sighting(line: bytes) -> Sighting:
    at, _, raw = line.partition(b"\t")
    event = json.loads(raw)
    if event["type"] == "ERROR":
        raise Overdue(f"the watch broke: {event['object']}")
    metadata = event["object"]["metadata"]
    return Sighting(
        float(at),
        sys.intern(event["type"]),
        sys.intern(metadata.get("namespace", "")),
        sys.intern(metadata["name"]),
        sys.intern(json.dumps(event["object"].get("spec"), sort_keys=True)),
    )
