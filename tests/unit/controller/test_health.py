"""A stall is never silent."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest

from controlplane.process import free_ports
from tenantprofile.controller.health import STALE, STUCK, Health
from tenantprofile.controller.probes import ProbeServer

NOW = 10_000.0
WELL = Health(
    clock=lambda: NOW,
    last_contact={"policies": lambda: NOW - 60, "namespaces": lambda: NOW - 60},
    compared_at=lambda: NOW - 600,
    longest_wait=lambda: 0.5,
    complete=lambda: True,
    comparison_interval=600.0,
)


@pytest.mark.parametrize(
    ("ill", "check", "words"),
    [
        (
            replace(WELL, last_contact={"policies": lambda: NOW - 60, "namespaces": lambda: NOW - STALE - 1}),
            "stream_is_stale",
            "nothing heard on the watch on namespaces for 301 s",
        ),
        (replace(WELL, longest_wait=lambda: STUCK + 1), "queue_is_stuck", "has waited for 121 s"),
        (
            replace(WELL, compared_at=lambda: NOW - 1801),
            "comparison_is_late",
            "no full comparison for 1801 s",
        ),
        (replace(WELL, complete=lambda: False), "is_not_ready", "has not ended"),
        (
            replace(
                WELL, problems=(lambda: None, lambda: "tenantprofiles are not served", lambda: "no lease")
            ),
            "is_not_ready",
            "tenantprofiles are not served\nno lease",
        ),
    ],
    ids=["stream", "queue", "comparison", "incomplete", "blind"],
)
def test_each_stall_is_told_and_only_that(ill: Health, check: str, words: str) -> None:
    checks = ("stream_is_stale", "queue_is_stuck", "comparison_is_late", "is_not_ready")
    assert [getattr(WELL, name)() for name in checks] == [None] * 4
    assert [name for name in checks if getattr(ill, name)()] == [check]
    assert words in getattr(ill, check)()


async def test_probes_answer_503_with_the_reason() -> None:
    wrong: list[str] = []
    (port,) = free_ports(1)
    server = ProbeServer(port, live=[lambda: wrong[0] if wrong else None], ready=[lambda: None])
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/livez") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
            wrong.append("it is stuck")
            async with session.get("/livez") as answer:
                assert (answer.status, await answer.text()) == (503, "it is stuck\n")
            async with session.get("/readyz") as answer:
                assert answer.status == 200
    finally:
        await server.stop()
