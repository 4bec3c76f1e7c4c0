"""Who may scrape /metrics, as controller-runtime's filter decides it, and the certificate it is served with.

A bearer token is checked by a TokenReview, and what its owner may do by a SubjectAccessReview for `get` on the path.
Decisions are kept for a while and are bounded in number and rate, so that scrapes, or somebody who guesses tokens, cost
the API server little. Metrics matter most while the API server is away: who was let in before is let in still.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tenantprofile.cluster.api import Api, ApiError

logger = logging.getLogger(__name__)

TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 (a path)
ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ALLOWED_FOR: Final = 60.0
DENIED_FOR: Final = 10.0
"""Seconds that a decision is good for; a right that is taken away takes effect within the first."""
OUTAGE: Final = 600.0
"""Seconds after its last good decision in which a token is let in while the API server cannot be asked."""
MAX_DECISIONS: Final = 1000
"""Tokens that were let in, and as many that were not."""
MAX_TOKEN: Final = 16_384
"""Characters of a token; those of ServiceAccounts have about a thousand."""
REVIEWS_PER_SECOND: Final = 10
PATIENCE: Final = 5.0
"""Seconds for a decision: half of Prometheus' default scrape_timeout."""
COMPLAIN_AGAIN: Final = 300.0
"""Seconds between two log lines about reviews that fail."""
LOOK: Final = 5.0
"""Seconds between two looks at the files of the certificate."""


class ScrapeAccess:
    """Answers whether a request is let in. `clock` gives monotonic seconds."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._allowed: OrderedDict[bytes, float] = OrderedDict()
        self._denied: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[int]] = {}
        self._second = 0
        self._asked = 0
        self._complain_at = float("-inf")

    async def check(self, authorization: str, path: str) -> int:
        """The HTTP status for a request with this header: 200, 401, 403, or 503 where it cannot be found out."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
            return 401
        key = sha256(f"{path} {token}".encode()).digest()
        now = self._clock()
        decided = self._allowed.get(key)
        if decided is not None and now < decided + ALLOWED_FOR:
            return 200
        status, at = self._denied.get(key, (0, 0.0))
        if status and now < at + DENIED_FOR:
            return status
        if key not in self._asking:
            if self._too_many(now):
                return self._while_unknown(key)
            asking = asyncio.create_task(self._ask(key, token, path))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(self._asking[key])

    def _too_many(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._asked = int(now), 0
        self._asked += 1
        return self._asked > REVIEWS_PER_SECOND

    def _while_unknown(self, key: bytes) -> int:
        decided = self._allowed.get(key)
        return 200 if decided is not None and self._clock() < decided + OUTAGE else 503

    async def _ask(self, key: bytes, token: str, path: str) -> int:
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self._review(token, path)
        except (ApiError, TimeoutError) as error:
            if self._clock() >= self._complain_at:
                self._complain_at = self._clock() + COMPLAIN_AGAIN
                logger.warning(
                    "whether a scrape may be answered cannot be found out: %s", error or "no answer in time"
                )
            return self._while_unknown(key)
        self._allowed.pop(key, None)
        self._denied.pop(key, None)
        if status == 200:
            self._allowed[key] = self._clock()
        else:
            self._denied[key] = (status, self._clock())
        for known in (self._allowed, self._denied):
            if len(known) > MAX_DECISIONS:
                known.popitem(last=False)
        return status

    async def _review(self, token: str, path: str) -> int:
        """Raises ApiError."""
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        found: Mapping[str, Any] = (await self._api.review(TOKEN_REVIEWS, asked)).get("status") or {}
        if found.get("authenticated") is not True:
            return 401
        user = found.get("user") or {}
        may: dict[str, Any] = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.get("username", ""),
                "uid": user.get("uid", ""),
                "groups": user.get("groups") or [],
                "extra": user.get("extra") or {},
                "nonResourceAttributes": {"path": path, "verb": "get"},
            },
        }
        answer = (await self._api.review(ACCESS_REVIEWS, may)).get("status") or {}
        return 200 if answer.get("allowed") is True and not answer.get("denied") else 403


class ServingCertificate:
    """A certificate and its key, read anew when the files change. What cannot be read changes nothing."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._seen = self._signature()
        self._present = self._load()
        self.context = self._load()
        """For the server; each connection gets the present certificate."""
        self.context.sni_callback = self._use_present

    def _use_present(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._present

    def _load(self) -> ssl.SSLContext:
        """Raises OSError; ssl.SSLError, which is one, for a pair that does not fit."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files)
        return context

    def _signature(self) -> tuple[object, ...]:
        # The inode as well: the kubelet swaps a link, and both files may be of the same second.
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in map(Path.stat, self._files))

    def look(self) -> bool:
        """Read the files anew if they have changed; whether they were. Raises OSError."""
        signature = self._signature()
        if signature == self._seen:
            return False
        self._present = self._load()
        self._seen = signature
        return True

    async def follow(self) -> None:
        """Look again and again, off the event loop, until cancelled."""
        complained: str | None = None
        while True:
            await asyncio.sleep(LOOK)
            try:
                if await asyncio.to_thread(self.look):
                    logger.info("metrics are served with the new certificate")
                complained = None
            except OSError as error:
                if str(error) != complained:
                    complained = str(error)
                    logger.warning("the new certificate of /metrics cannot be used: %s", error)
