"""A removal rests on what stands in the cluster, not on what was heard of it last."""

from __future__ import annotations

from typing import Any

import pytest

from tenantprofile.cluster.api import ApiError
from tenantprofile.controller.prune import rests_on_present
from tenantprofile.controller.state import namespace_record, profile_record

NAMESPACE = {"metadata": {"name": "shop", "uid": "n1", "resourceVersion": "5", "labels": {"tenant": "shop"}}}
PROFILE = {"metadata": {"name": "base", "uid": "p1", "resourceVersion": "7", "generation": 2}}


class Cluster:
    """Answers GET from a dictionary."""

    def __init__(self, **objects: Any) -> None:
        self.objects = objects

    async def get(self, path: str) -> Any:
        found = self.objects.get(path.rpartition("/")[2])
        if found is None:
            raise ApiError(404, "NotFound", path)
        return found


def changed(raw: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": raw["metadata"] | metadata}


async def judged(planned_with: dict[str, Any] | None, **objects: Any) -> bool:
    known = {"base": profile_record(planned_with) if planned_with is not None else None}
    record = namespace_record(NAMESPACE, new=False)
    return await rests_on_present(Cluster(**objects), record, known)  # type: ignore[arg-type]


async def test_what_is_in_the_cluster_as_it_is_known_may_be_acted_on() -> None:
    assert await judged(PROFILE, shop=NAMESPACE, base=PROFILE)
    assert await judged(PROFILE, shop=NAMESPACE, base=changed(PROFILE, resourceVersion="9"))


async def test_a_profile_that_is_known_to_be_gone_and_is_gone_may_be_acted_on() -> None:
    assert await judged(None, shop=NAMESPACE)


@pytest.mark.parametrize(
    "objects",
    [
        {"shop": NAMESPACE, "base": changed(PROFILE, generation=3)},
        {"shop": NAMESPACE, "base": changed(PROFILE, uid="p2")},
        {"shop": NAMESPACE},
        {"base": PROFILE},
        {"base": PROFILE, "shop": changed(NAMESPACE, labels={"tenant": "other"})},
        {"base": PROFILE, "shop": changed(NAMESPACE, uid="n2")},
        {"base": PROFILE, "shop": changed(NAMESPACE, deletionTimestamp="2026-01-01T00:00:00Z")},
    ],
)
async def test_old_news_is_not_acted_on(objects: dict[str, Any]) -> None:
    assert not await judged(PROFILE, **objects)


async def test_a_profile_that_has_come_back_keeps_its_policies() -> None:
    assert not await judged(None, shop=NAMESPACE, base=PROFILE)
