"""An independent witness: every event on every managed NetworkPolicy, as the API server tells it.

It shares no code with the operator. What counts is what stood in the API server at each moment, not
what anybody says of it: a policy that was missing or different for a millisecond is in the record.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from client import ALL_POLICIES, Client, Refused

LABEL = "tenantprofile.dev/profile"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One event; `at` in seconds of the monotonic clock, `type` ADDED, MODIFIED or DELETED."""

    at: float
    type: str
    namespace: str
    name: str
    spec: str
    """The spec as canonical JSON, so that two can be compared."""
    manager: str
    """The field manager that wrote last."""
    version: int


class Referee:
    """Watches from `__enter__` on. Survives restarts of the API server; a gap in the watch is an error."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = Client(kubeconfig)
        self.sightings: list[Sighting] = []
        self.at_start: dict[tuple[str, str], str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failure: BaseException | None = None
        self._version = ""

    def __enter__(self) -> Self:
        answer = self._client.get(ALL_POLICIES, labelSelector=LABEL)
        self._version = answer["metadata"]["resourceVersion"]
        for item in answer["items"]:
            self.at_start[item["metadata"]["namespace"], item["metadata"]["name"]] = spec_of(item)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def catch_up(self) -> None:
        """Wait until everything that has happened so far is in the record."""
        target = int(self._client.get(ALL_POLICIES, limit="1")["metadata"]["resourceVersion"])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.failure is not None:
                raise AssertionError(f"the referee lost sight: {self.failure!r}")
            # Versions are shared by all kinds; quiet for a moment beyond the newest of ours is enough.
            newest = int(self._version)
            if newest >= target:
                return
            own = self._client.get(ALL_POLICIES, labelSelector=LABEL)["items"]
            if all(int(item["metadata"]["resourceVersion"]) <= newest for item in own):
                time.sleep(0.2)
                return
            time.sleep(0.02)

    def of(self, namespace: str, name: str | None = None) -> list[Sighting]:
        """What was seen of a namespace, or of one policy."""
        return [s for s in list(self.sightings) if s.namespace == namespace and name in (None, s.name)]

    def deletions(self) -> list[Sighting]:
        return [s for s in list(self.sightings) if s.type == "DELETED"]

    def writes(self) -> list[Sighting]:
        return list(self.sightings)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for event in self._client.watch(
                    ALL_POLICIES, self._version, labelSelector=LABEL, allowWatchBookmarks="true"
                ):
                    if self._stop.is_set():
                        return
                    self._take(event)
            except Refused as error:
                if error.status == 410:
                    self.failure = error
                    return
                time.sleep(0.05)
            except (OSError, ValueError):
                # The API server is being stopped; the watch goes on from the last version seen.
                time.sleep(0.05)

    def _take(self, event: dict[str, Any]) -> None:
        body = event["object"]
        if event["type"] == "ERROR":
            if body.get("code") == 410:
                self.failure = Refused(410, body)
                self._stop.set()
            return
        metadata = body["metadata"]
        self._version = metadata["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        fields = metadata.get("managedFields") or [{}]
        self.sightings.append(
            Sighting(
                time.monotonic(),
                event["type"],
                metadata["namespace"],
                metadata["name"],
                spec_of(body),
                str(max(fields, key=lambda entry: entry.get("time") or "").get("manager")),
                int(metadata["resourceVersion"]),
            )
        )


def spec_of(body: dict[str, Any]) -> str:
    """A policy's spec as canonical JSON."""
    return json.dumps(body.get("spec") or {}, sort_keys=True)
