"""What a process costs, from /proc: CPU seconds and resident memory, at any moment and over time."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu` in seconds since the process started, `rss` and `peak` in bytes (VmRSS and VmHWM)."""

    at: float
    cpu: float
    rss: int
    peak: int


def usage(pid: int) -> Usage:
    """Now (proc(5): /proc/PID/stat and /proc/PID/status)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return Usage(
        at=time.monotonic(),
        cpu=(int(fields[11]) + int(fields[12])) / _TICK,
        rss=int(status["VmRSS"].split()[0]) * 1024,
        peak=int(status["VmHWM"].split()[0]) * 1024,
    )


class Meter:
    """Samples one process ten times a second until it is stopped or the process ends."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._samples = [usage(pid)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self._samples.append(usage(self.pid))
            except (OSError, KeyError, IndexError):
                return

    def now(self) -> Usage:
        return usage(self.pid)

    def cpu_at(self, moment: float) -> float:
        """CPU seconds that had been used at a moment of the monotonic clock."""
        samples = list(self._samples)
        index = min(bisect_left([sample.at for sample in samples], moment), len(samples) - 1)
        after, before = samples[index], samples[max(index - 1, 0)]
        if after.at <= before.at:
            return after.cpu
        share = min(max((moment - before.at) / (after.at - before.at), 0.0), 1.0)
        return before.cpu + share * (after.cpu - before.cpu)

    async def quiet(self, *, share: float = 0.04, window: float = 1.5, within: float = 60.0) -> Usage:
        """Wait until it uses less than a share of one CPU for a while; the usage then."""
        deadline = time.monotonic() + within
        while True:
            before = self.now()
            await asyncio.sleep(window)
            after = self.now()
            if after.cpu - before.cpu <= share * window or time.monotonic() > deadline:
                return after

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
