"""What a canary leaves to the cluster, and what it says of pods that do not run."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tenantprofile.cluster.api import ApiError, Object
from tenantprofile.doctor.canary import Canary, has_outlived, waiting_for
from tenantprofile.doctor.connection import Connection, DoctorError, insist
from tenantprofile.enforcement import objects


class SlowCluster:
    """Takes a moment to make a namespace, and makes it even when nobody waits any more."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Object] = {}
        self.asked = asyncio.Event()

    async def make(self, path: str, body: Object) -> Object:
        self.asked.set()
        await asyncio.sleep(0.05)
        name = body["metadata"]["name"]
        self.namespaces[name] = {
            "metadata": {"name": name, "uid": "1", "creationTimestamp": "2026-11-21T00:00:00Z"}
        }
        return self.namespaces[name]

    async def get(self, path: str) -> Object:
        try:
            return self.namespaces[path.rsplit("/", 1)[1]]
        except KeyError:
            raise ApiError(404, "NotFound", path) from None

    async def remove(self, path: str, uid: str = "") -> None:
        name = path.rsplit("/", 1)[1]
        asyncio.get_running_loop().call_later(0.2, self.namespaces.pop, name, None)


async def test_a_namespace_whose_making_was_interrupted_is_removed() -> None:
    cluster = SlowCluster()
    canary = Canary(cast(Connection, cluster), "image", 60, "token")
    told: list[str] = []

    async def run() -> None:
        try:
            await canary.make()
        finally:
            await canary.remove(told.append)

    task = asyncio.ensure_future(run())
    await cluster.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster.namespaces == {}
    assert told == []


async def test_a_namespace_that_cannot_be_removed_is_named() -> None:
    class Stubborn(SlowCluster):
        async def remove(self, path: str, uid: str = "") -> None:
            raise ApiError(403, "Forbidden", "no")

    canary = Canary(cast(Connection, Stubborn()), "image", 60, "token")
    await canary.make()
    told: list[str] = []
    await canary.remove(told.append)
    assert canary.name in told[0]
    assert "--cleanup" in told[0]


async def test_a_request_is_repeated_only_while_its_error_may_pass() -> None:
    answers: list[Any] = [ApiError(503, "Unavailable", ""), "made", ApiError(403, "Forbidden", ""), "late"]

    async def request() -> str:
        answer = answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return str(answer)

    assert await insist(request, 5) == "made"
    with pytest.raises(ApiError, match="Forbidden"):
        await insist(request, 5)
    assert answers == ["late"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({}, "no scheduler has taken it up"),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}
                ]
            },
            "Unschedulable: 0/3",
        ),
        (
            {
                "conditions": [{"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}}}
                ],
            },
            "ErrImagePull: denied",
        ),
        (
            {
                "conditions": [{"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}],
            },
            "its container is being created",
        ),
    ],
)
def test_what_a_pod_waits_for_is_told(status: Object, reason: str) -> None:
    assert waiting_for(status) == reason


async def test_an_image_that_cannot_be_had_is_not_waited_for_and_an_ended_pod_tells_its_last_words() -> None:
    class Cluster(SlowCluster):
        status: Object = {}

        async def get(self, path: str) -> Object:
            return {"spec": {}, "status": self.status}

        async def text(self, path: str, params: Object) -> str:
            return "No module named tenantprofile.canary\n"

    cluster = Cluster()
    canary = Canary(cast(Connection, cluster), "image", 60, "token")
    await canary.make()
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "image"'}
    cluster.status = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    with pytest.raises(DoctorError, match=r"does not run \(Pending\): ImagePullBackOff: Back-off"):
        await canary.start(60)
    cluster.status = {
        "phase": "Failed",
        "containerStatuses": [{"state": {"terminated": {"reason": "Error"}}}],
    }
    with pytest.raises(DoctorError, match=r"has ended \(Error\); it said: No module named"):
        await canary.start(60)


def test_a_run_is_over_when_its_pods_have_ended() -> None:
    left = objects.namespace("tenantprofile-doctor-1", 600)
    left["metadata"]["creationTimestamp"] = "2026-11-21T10:00:00Z"
    assert not has_outlived(left, "2026-11-21T10:10:00Z")
    assert has_outlived(left, "2026-11-21T10:10:01Z")
