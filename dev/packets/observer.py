"""What happened when: policies as the API server announced them, and one flow tried again and again.

All times are seconds of `time.monotonic`, the same clock in every process of the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .api import Api, Object
from .flows import Flow, Outcome
from .programs import Prober, ProgramError
from .world import World


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a policy, when a watcher was told of it."""

    at: float
    kind: str
    namespace: str
    name: str


class PolicyLog:
    """Every change of a NetworkPolicy from now on."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.events: list[Event] = []
        self._thread = threading.Thread(target=self._listen, name="policy-log", daemon=True)
        self._thread.start()

    def times(self, namespace: str, kind: str = "ADDED") -> dict[str, float]:
        """When each policy of a namespace was first announced so, by its name."""
        found: dict[str, float] = {}
        for event in list(self.events):
            if event.namespace == namespace and event.kind == kind:
                found.setdefault(event.name, event.at)
        return found

    def _listen(self) -> None:
        try:
            for event in self._api.watch("NetworkPolicy"):
                self._take(event)
        except (OSError, ValueError):
            pass  # the API server has ended, and the test with it

    def _take(self, event: Object) -> None:
        metadata = event["object"].get("metadata", {})
        self.events.append(
            Event(
                time.monotonic(), event["type"], str(metadata.get("namespace", "")), str(metadata.get("name"))
            )
        )


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: when it was begun, when its answer was known, and the answer."""

    begun: float
    known: float
    outcome: Outcome


class FlowLog:
    """A context manager that tries one flow over and over, from a program of its own."""

    def __init__(self, world: World, flow: Flow, every: float = 0.002) -> None:
        self._world = world
        self._flow = flow
        self._every = every
        self._prober = Prober()
        self._ended = threading.Event()
        self.tries: list[Try] = []
        self._thread = threading.Thread(target=self._loop, name="flow-log", daemon=True)

    def first(self, outcome: Outcome, after: float, seconds: float = 10.0) -> Try:
        """The first attempt begun after a time that ended so. Raises TimeoutError."""
        return self._wait(lambda t: t.outcome is outcome and t.begun > after, seconds, str(outcome))

    def open_for(self, after: float, before: float) -> float:
        """Seconds between the first and the last attempt of a span that came through; 0 without one."""
        through = [t for t in list(self.tries) if t.outcome is Outcome.OPEN and after < t.begun < before]
        return through[-1].known - through[0].begun if through else 0.0

    def outcomes(self, after: float) -> set[Outcome]:
        return {t.outcome for t in list(self.tries) if t.begun > after}

    def _wait(self, condition: Callable[[Try], bool], seconds: float, what: str) -> Try:
        deadline, seen = time.monotonic() + seconds, 0
        while True:
            for attempt in self.tries[seen:]:
                seen += 1
                if condition(attempt):
                    return attempt
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._flow} was not {what} within {seconds:.0f} s")
            time.sleep(0.001)

    def _loop(self) -> None:
        try:
            while not self._ended.is_set():
                begun = time.monotonic()
                (outcome, known) = self._world.probe_timed([self._flow], 0.5, self._prober)[self._flow]
                self.tries.append(Try(begun, known, outcome))
                time.sleep(self._every)
        except (KeyError, ProgramError):
            pass  # the pod or the program is gone

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(2)
        self._prober.close()


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(values: Sequence[float]) -> str:
    """Percentiles in milliseconds, for a person."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    words = [f"{name} {percentile(values, share) * 1000:.0f} ms" for name, share in shares.items()]
    return f"{', '.join(words)}, most {max(values) * 1000:.0f} ms (n={len(values)})"
