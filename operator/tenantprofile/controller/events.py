"""Kubernetes Events for what a person wants to see, aggregated: one Event per object and reason.

What repeats within ten minutes raises the count of the Event that is there, as the API server's own
recorders do it. A bucket bounds the rate over all objects: bad news waits its turn, good news about a
single namespace is left out. Losing an Event loses no protection, so failures end in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, Literal

from tenantprofile.cluster.api import Api, ApiError
from tenantprofile.names import API_VERSION, FIELD_MANAGER
from tenantprofile.planning.status import cut

logger = logging.getLogger(__name__)

GATHER: Final = 1.0
"""Seconds in which equal events become one."""
FORGET: Final = 600.0
"""Seconds after which a repeated event becomes a new object."""
BURST: Final = 40
RATE: Final = 5.0
"""Events at once, and per second after that, over all objects."""
MAX_KNOWN: Final = 2000
MAX_NOTE: Final = 1000
"""Characters of a message; the API allows 1,024 (API documentation, Event v1)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an Event is about. A cluster-scoped one's Events land in namespace `default`."""

    kind: Literal["TenantProfile", "PolicyTemplate", "Namespace"]
    name: str
    uid: str

    def reference(self) -> dict[str, str]:
        if self.kind == "Namespace":
            # An Event may only stand in the namespace that its object names (API validation).
            return {
                "apiVersion": "v1",
                "kind": "Namespace",
                "name": self.name,
                "namespace": self.name,
                "uid": self.uid,
            }
        return {"apiVersion": API_VERSION, "kind": self.kind, "name": self.name, "uid": self.uid}

    @property
    def namespace(self) -> str:
        return self.name if self.kind == "Namespace" else "default"


@dataclass(slots=True)
class _Posted:
    name: str
    count: int
    first: str
    posted_at: float


class EventRecorder:
    """Collects events and posts them from a task of its own. `clock` gives monotonic seconds."""

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._waiting: OrderedDict[tuple[Subject, str, str], tuple[int, str]] = OrderedDict()
        self._posted: OrderedDict[tuple[Subject, str], _Posted] = OrderedDict()
        self._tokens = float(BURST)
        self._refilled = clock()
        self._wakeup = asyncio.Event()

    def normal(self, subject: Subject, reason: str, message: str) -> None:
        self._add(subject, "Normal", reason, message)

    def warning(self, subject: Subject, reason: str, message: str) -> None:
        self._add(subject, "Warning", reason, message)

    def forget(self, namespace: str) -> None:
        """A namespace is gone, or going: it takes no Events any more."""
        for key in [k for k in self._waiting if k[0].kind == "Namespace" and k[0].name == namespace]:
            del self._waiting[key]

    def _add(self, subject: Subject, kind: str, reason: str, message: str) -> None:
        key = (subject, kind, reason)
        if key not in self._waiting and len(self._waiting) >= MAX_KNOWN:
            room = next((known for known in self._waiting if _is_good_news_of_a_namespace(known)), None)
            if room is None or _is_good_news_of_a_namespace(key):
                return
            del self._waiting[room]
        count, _ = self._waiting.get(key, (0, ""))
        # The newest is shown, the others are counted.
        self._waiting[key] = (count + 1, message)
        if subject.kind != "Namespace":
            # One line on the profile tells more than any of the many on its namespaces.
            self._waiting.move_to_end(key, last=False)
        self._wakeup.set()

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            await asyncio.sleep(GATHER)
            await self.flush()

    async def flush(self) -> None:
        """Post what waits, as far as the rate allows; the rest stays for the next time."""
        # Each at most once: what is told again meanwhile, such as the progress of a fan-out, waits for the next time.
        for key in list(self._waiting):
            if key not in self._waiting:
                continue
            if not self._take_token():
                # A fan-out over thousands of namespaces is told on its profile; what is good news and does not
                # fit the rate is left out, so that writing Events does not go on for minutes after it.
                for news in [known for known in self._waiting if _is_good_news_of_a_namespace(known)]:
                    del self._waiting[news]
                break
            subject, kind, reason = key
            count, message = self._waiting.pop(key)
            try:
                await self._post(subject, kind, reason, message, count)
            except ApiError as error:
                logger.debug(
                    "event %s on %s %s was not posted: %s", reason, subject.kind, subject.name, error
                )
        if self._waiting:
            asyncio.get_running_loop().call_later(1.0, self._wakeup.set)

    def _take_token(self) -> bool:
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._refilled) * RATE)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    async def _post(self, subject: Subject, kind: str, reason: str, message: str, times: int) -> None:
        now = self._clock()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"/api/v1/namespaces/{subject.namespace}/events"
        known = self._posted.get((subject, reason))
        if known is not None and now - known.posted_at < FORGET:
            known.count += times
            known.posted_at = now
            change = {"count": known.count, "lastTimestamp": stamp, "message": cut(message, MAX_NOTE)}
            try:
                await self._api.merge(f"{path}/{known.name}", change)
                return
            except ApiError as error:
                if error.status != 404:
                    raise
        seed = f"{subject}{reason}{stamp}{now}".encode()
        name = f"{subject.name[:200]}.{blake2b(seed, digest_size=8).hexdigest()}"
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name},
            "involvedObject": subject.reference(),
            "type": kind,
            "reason": reason,
            "message": cut(message, MAX_NOTE),
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "count": times,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
        }
        await self._api.create(path, body)
        self._posted[subject, reason] = _Posted(name, times, stamp, now)
        self._posted.move_to_end((subject, reason))
        while len(self._posted) > MAX_KNOWN:
            self._posted.popitem(last=False)


def _is_good_news_of_a_namespace(key: tuple[Subject, str, str]) -> bool:
    subject, kind, _ = key
    return subject.kind == "Namespace" and kind == "Normal"
