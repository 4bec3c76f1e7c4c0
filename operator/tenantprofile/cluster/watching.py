"""Following a collection for ever: the whole list once, a watch behind it, and the list again after a 410."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tenantprofile.cluster.api import Api, ApiError, Gone, Object

logger = logging.getLogger(__name__)

PAUSES: Final = (0.2, 10.0)
"""Seconds between attempts while the API server is away: the shortest, doubled up to the longest."""


async def follow(
    api: Api,
    path: str,
    relist: Callable[[], Awaitable[str]],
    take: Callable[[Object], str],
    *,
    selector: str | None = None,
) -> None:
    """Until cancelled. `relist` reads the whole list and answers its version, `take` an event and its version."""
    shortest, longest = PAUSES
    version: str | None = None
    pause = 0.0
    while True:
        try:
            if version is None:
                version = await relist()
            async for kind, found in api.watch(path, version, selector=selector):
                pause = 0.0
                if isinstance(found, dict):
                    version = take({"type": kind, "object": found})
        except Gone:
            logger.info("the watch on %s fell behind; reading the whole list again", path)
            version = None
        except ApiError as error:
            pause = min(max(pause * 2, shortest), longest)
            logger.warning("%s: %s; next attempt in %.1f s", path, error, pause)
            await asyncio.sleep(pause)
