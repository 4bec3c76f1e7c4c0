"""Leader election by a `coordination.k8s.io/v1` Lease: one operator writes, others stand by.

The same protocol as client-go's: a candidate measures how long it has seen the lease unchanged on its
own monotonic clock, so that neither clock skew nor a jump of the wall clock makes two leaders; the
leader stops writing by itself when it could not renew for `RENEW_DEADLINE`, before others may take over. The
`kubernetes` package's election was looked at: it measures by the wall clock, ends on a refused
connection, and cannot give a lease back, which would leave new namespaces open for 15 s on a restart.

Its writes do not wait where the API server has asked others to (Retry-After): they are one every two
seconds, in a priority level of their own (API documentation, API Priority and Fairness), and a lease lost
by waiting would be taken up by another operator, with all its requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from tenantprofile.cluster.api import Api, ApiError

logger = logging.getLogger(__name__)

LEASE_DURATION: Final = 15.0
RENEW_DEADLINE: Final = 10.0
RETRY_PERIOD: Final = 2.0
"""Seconds; the defaults of client-go's leader election."""


class Lease:
    """One candidate for one lease; `changed` is told whether it leads. `clock` gives monotonic seconds."""

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        changed: Callable[[bool], None],
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._clock = clock
        self._seen: tuple[str, float] = ("", clock())
        self._changed = changed
        self._renewed = float("-inf")

    def is_held(self) -> bool:
        """Whether this operator may write at this very moment: a process that was frozen wakes up in the middle of
        its work, and finds out about the lease only afterwards."""
        return self._clock() < self._renewed + RENEW_DEADLINE

    async def run(self) -> None:
        """Acquire, renew, and acquire again when it was lost, until cancelled; then give it back."""
        while True:
            await self._acquire()
            self._renewed = self._clock()
            logger.info("this operator writes: it holds the lease", extra={"identity": self._identity})
            self._changed(True)
            try:
                lost = await self._renew()
            except asyncio.CancelledError:
                self._stop()
                await self._release()
                raise
            self._stop()
            logger.warning("the lease is lost (%s): nothing is written until it is held again", lost)

    def _stop(self) -> None:
        """It leads no more: neither new work nor what is in the middle of it may write."""
        self._renewed = float("-inf")
        self._changed(False)

    async def _acquire(self) -> None:
        standing_by = False
        while True:
            try:
                holder = await self._try()
            except ApiError as error:
                logger.warning("the lease cannot be reached: %s", error)
            else:
                if holder == self._identity:
                    return
                if not standing_by:
                    logger.info("standing by: %s holds the lease", holder, extra={"identity": self._identity})
                    standing_by = True
            await asyncio.sleep(RETRY_PERIOD)

    async def _renew(self) -> str:
        """Renew as long as that is possible; why it is not any more."""
        while True:
            await asyncio.sleep(RETRY_PERIOD)
            try:
                async with asyncio.timeout(max(0.1, self._renewed + RENEW_DEADLINE - self._clock())):
                    holder = await self._try()
            except (ApiError, TimeoutError) as error:
                if not self.is_held():
                    return f"not renewed for {RENEW_DEADLINE:.0f} s: {error!r}"
                continue
            if holder != self._identity:
                return f"{holder} holds it now"
            self._renewed = self._clock()

    async def _try(self) -> str:
        """Take or renew the lease where that is allowed; who holds it afterwards. Raises ApiError."""
        started = self._clock()
        path = f"{self._collection}/{self._name}"
        try:
            lease = await self._api.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": self._spec({}),
            }
            return self._holder(await self._create(lease))
        spec = lease.get("spec") or {}
        version = str(lease["metadata"]["resourceVersion"])
        if version != self._seen[0]:
            self._seen = (version, started)
        holder = str(spec.get("holderIdentity") or "")
        duration = float(spec.get("leaseDurationSeconds") or LEASE_DURATION)
        if holder and holder != self._identity and started < self._seen[1] + duration:
            return holder
        lease["spec"] = self._spec(spec)
        try:
            answer = await self._api.replace(path, lease, control=True)
        except ApiError as error:
            if error.status == 409:
                return holder or "another candidate"
            raise
        self._seen = (str(answer["metadata"]["resourceVersion"]), started)
        return self._holder(answer)

    async def _create(self, lease: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._api.create(self._collection, lease, control=True)
        except ApiError as error:
            if error.status == 409:
                return {"spec": {"holderIdentity": "another candidate"}}
            raise

    @staticmethod
    def _holder(lease: dict[str, Any]) -> str:
        return str(lease["spec"]["holderIdentity"])

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = before.get("holderIdentity") == self._identity
        transitions = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_DURATION),
            "acquireTime": before.get("acquireTime") if same else now,
            "renewTime": now,
            "leaseTransitions": transitions if same or not before else transitions + 1,
        }

    async def _release(self) -> None:
        """Give the lease back, so that the next operator need not wait for its end."""
        path = f"{self._collection}/{self._name}"
        try:
            lease = await self._api.get(path)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._api.replace(path, lease, control=True)
        except ApiError as error:
            logger.info("the lease was not given back: %s", error)
