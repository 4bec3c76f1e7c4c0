"""Who may write, at every moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenantprofile.controller import lease as module
from tenantprofile.controller.lease import Lease


class Stored:
    """Stands where the API client stands, and keeps one lease."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] = {"metadata": {"resourceVersion": "1"}, "spec": {}}

    async def get(self, _path: str) -> dict[str, Any]:
        return {"metadata": dict(self.lease["metadata"]), "spec": dict(self.lease["spec"])}

    async def replace(self, _path: str, body: dict[str, Any], *, held_back: bool) -> dict[str, Any]:
        assert not held_back
        version = str(int(self.lease["metadata"]["resourceVersion"]) + 1)
        self.lease = {"metadata": {"resourceVersion": version}, "spec": dict(body["spec"])}
        return self.lease


async def test_a_lease_that_another_has_taken_is_not_held_from_that_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_PERIOD", 0.01)
    api, told = Stored(), asyncio.Queue[tuple[bool, bool]]()
    lease = Lease(
        api,  # type: ignore[arg-type]
        namespace="system",
        name="operator",
        identity="me",
        changed=lambda leads: told.put_nowait((leads, lease.is_held())),
        clock=asyncio.get_running_loop().time,
    )
    assert not lease.is_held()
    running = asyncio.create_task(lease.run())
    assert await told.get() == (True, True)
    api.lease = {"metadata": {"resourceVersion": "99"}, "spec": {"holderIdentity": "another"}}
    assert await told.get() == (False, False)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
