"""Leader election by a `coordination.k8s.io/v1` Lease: one operator writes, others stand by.

The same protocol as client-go's: a candidate measures how long it has seen the lease unchanged on its own monotonic
clock, so that neither clock skew nor a jump of the wall clock makes two leaders. The leader's time counts from the
moment at which it *sent* the request that renewed the lease: it stops writing RENEW_DEADLINE later, and others may
take over LEASE_DURATION after they have seen the renewal, which cannot be earlier than it was sent. The `kubernetes`
package's election was looked at: it measures by the wall clock, ends on a refused connection, and cannot give a lease
back, which would leave new namespaces open for 15 s on a restart.

Its requests have a connection of their own and wait for nothing (`control=True`), in a priority level of their own
(deploy/base/flowcontrol.yaml).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from tenantprofile.cluster.api import Api, ApiError
from tenantprofile.settings import LEASE_DURATION, LEASE_UNREACHABLE, RENEW_DEADLINE, RETRY_PERIOD

logger = logging.getLogger(__name__)

_ANOTHER: Final = "another candidate"


class Lease:
    """One candidate for one lease; `changed` is told whether it leads. `clock` gives monotonic seconds.

    `went_back`: called when the lease is older than it was seen before, which only a restored etcd explains.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        changed: Callable[[bool], None],
        clock: Callable[[], float],
        went_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._clock = clock
        self._seen: tuple[str, float] = ("", clock())
        self._holder = ""
        self._duration = LEASE_DURATION
        self._changed = changed
        self._went_back = went_back
        self._renewed = float("-inf")
        self._reached = clock()
        self._error: str | None = None

    def is_held(self) -> bool:
        """Whether this operator may write at this very moment: a process that was frozen wakes up in the middle of
        its work, and finds out about the lease only afterwards."""
        return self._clock() < self._renewed + RENEW_DEADLINE

    def problem(self) -> str | None:
        """Why nobody may be writing, in plain words; None while this operator leads or one that renews does."""
        now = self._clock()
        if self.is_held():
            return None
        if self._error is not None and now - self._reached > LEASE_UNREACHABLE:
            return f"the lease {self._namespace}/{self._name} cannot be had: {self._error}"
        if self._holder and now - self._seen[1] > 2 * LEASE_DURATION:
            return (
                f"the lease {self._namespace}/{self._name} is held by {self._holder!r}, who has not renewed it for"
                f" {now - self._seen[1]:.0f} s; it asked for {self._duration:.0f} s. Delete the Lease if it is gone"
            )
        return None

    async def run(self) -> None:
        """Acquire, renew, and acquire again when it was lost, until cancelled; then give it back."""
        try:
            while True:
                await self._acquire()
                logger.info("this operator writes: it holds the lease", extra={"identity": self._identity})
                self._changed(True)
                lost = await self._renew()
                self._stop()
                logger.warning("the lease is lost (%s): nothing is written until it is held again", lost)
        except asyncio.CancelledError:
            held = self.is_held()
            self._stop()
            if held:
                await self._release()
            raise

    def _stop(self) -> None:
        """It leads no more: neither new work nor what is in the middle of it may write."""
        self._renewed = float("-inf")
        self._changed(False)

    async def _acquire(self) -> None:
        standing_by = False
        while True:
            if await self._attempt(RENEW_DEADLINE):
                # An answer that took longer than the lease lasts acquires nothing.
                if self.is_held():
                    return
            elif self._error is None and not standing_by:
                logger.info(
                    "standing by: %s holds the lease", self._holder, extra={"identity": self._identity}
                )
                standing_by = True
            await asyncio.sleep(RETRY_PERIOD)

    async def _renew(self) -> str:
        """Renew as long as that is possible; why it is not any more."""
        while True:
            await asyncio.sleep(RETRY_PERIOD)
            left = self._renewed + RENEW_DEADLINE - self._clock()
            if not await self._attempt(left) and self._error is None:
                return f"{self._holder} holds it now"
            if not self.is_held():
                return f"not renewed for {RENEW_DEADLINE:.0f} s: {self._error}"

    async def _attempt(self, seconds: float) -> bool:
        """Take or renew the lease where that is allowed, in so many seconds; whether it is ours."""
        if seconds <= 0:
            return False
        sent = self._clock()
        try:
            async with asyncio.timeout(seconds):
                held, sent = await self._try()
        except (ApiError, TimeoutError) as error:
            text = self._words(error)
            if text != self._error:
                logger.warning("the lease cannot be had: %s", text)
            self._error = text
            return False
        self._error = None
        self._reached = self._clock()
        if held:
            self._holder = self._identity
            self._renewed = sent
        return held

    async def _try(self) -> tuple[bool, float]:
        """Whether the lease is ours, and when the request that made it so was sent. Raises ApiError."""
        started = self._clock()
        path = f"{self._collection}/{self._name}"
        try:
            lease = await self._api.get(path, control=True)
        except ApiError as error:
            if error.status != 404 or error.concerns == "namespace":
                raise
            return await self._create()
        spec = lease.get("spec") or {}
        self._holder = str(spec.get("holderIdentity") or "")
        duration = spec.get("leaseDurationSeconds")
        self._duration = float(duration) if isinstance(duration, int) and duration > 0 else LEASE_DURATION
        version = str(lease["metadata"]["resourceVersion"])
        if version != self._seen[0]:
            if self._seen[0] and int(version) < int(self._seen[0]):
                # The cluster's newest revision may have passed the old one since, but this object has not changed.
                self._went_back()
            self._seen = (version, self._clock())
        if self._holder and self._holder != self._identity and started < self._seen[1] + self._duration:
            return False, started
        lease["spec"] = self._spec(spec)
        sent = self._clock()
        try:
            answer = await self._api.replace(path, lease, control=True)
        except ApiError as error:
            if error.status != 409:
                raise
            # Somebody was quicker: a rival, or an earlier request of ours whose answer was lost.
            return await self._try()
        self._seen = (str(answer["metadata"]["resourceVersion"]), self._clock())
        return True, sent

    async def _create(self) -> tuple[bool, float]:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": self._spec({}),
        }
        sent = self._clock()
        try:
            await self._api.create(self._collection, lease, control=True)
        except ApiError as error:
            if error.status == 409:
                self._holder = _ANOTHER
                return False, sent
            raise
        return True, sent

    def _words(self, error: ApiError | TimeoutError) -> str:
        if not isinstance(error, ApiError):
            return "no answer in time"
        if error.status == 404:
            return (
                f"namespace {self._namespace!r} does not exist; create it (kubectl create namespace"
                f" {self._namespace}), name another with --operator-namespace, or run a single operator with"
                " --no-leader-elect"
            )
        if error.status == 403:
            return f"{error}; apply deploy/base, whose Role grants it, or run a single operator with --no-leader-elect"
        return str(error)

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = before.get("holderIdentity") == self._identity
        transitions = before.get("leaseTransitions")
        count = transitions if isinstance(transitions, int) else 0
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_DURATION),
            "acquireTime": before.get("acquireTime") if same else now,
            "renewTime": now,
            "leaseTransitions": count if same or not before else count + 1,
        }

    async def _release(self) -> None:
        """Give the lease back, so that the next operator need not wait for its end."""
        path = f"{self._collection}/{self._name}"
        try:
            lease = await self._api.get(path, control=True)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._api.replace(path, lease, control=True)
        except ApiError as error:
            logger.info("the lease was not given back: %s", error)
