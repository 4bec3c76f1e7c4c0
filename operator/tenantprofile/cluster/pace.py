"""Long work in small pieces: the event loop gets its turn every few milliseconds."""

from __future__ import annotations

import asyncio
import time

from tenantprofile.settings import YIELD


class Pace:
    """Steps of one piece of work; a step yields where the work has gone on for YIELD seconds."""

    def __init__(self) -> None:
        self._turn = time.perf_counter() + YIELD

    async def step(self) -> None:
        """Let others run if it is their turn."""
        if time.perf_counter() >= self._turn:
            await asyncio.sleep(0)
            self._turn = time.perf_counter() + YIELD
