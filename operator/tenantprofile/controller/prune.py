"""Nothing is removed on old news: what a removal rests on is read anew before it is made.

A watch that has fallen behind cannot be told from one on which nothing happens. Whoever acts on an older
form of a profile would take the policies of its newer form for ones that nothing wants any more: an
operator that has just taken over the lease, or a second one that runs by mistake. A write on old news is
made good when the news arrives; a removal has opened the namespace until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tenantprofile.cluster.api import NAMESPACES, PROFILES, Api, ApiError, Object
from tenantprofile.controller.state import NamespaceRecord, ProfileRecord, namespace_record
from tenantprofile.names import GROUP

PROFILE_CRD: Final = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tenantprofiles.{GROUP}"


async def rests_on_present(
    api: Api, namespace: NamespaceRecord, profiles: Mapping[str, ProfileRecord | None]
) -> bool:
    """Whether the namespace and the profiles are in the cluster as they were when the removal was planned.

    `profiles`: by name; None for one that was gone. Raises ApiError.
    """
    found = await _find(api, f"{NAMESPACES}/{namespace.facts.name}")
    if found is None:
        return False
    present = namespace_record(found, new=False)
    if (present.uid, present.facts, present.terminating) != (namespace.uid, namespace.facts, False):
        return False
    for name, record in profiles.items():
        found = await _find(api, f"{PROFILES}/{name}")
        if record is None or found is None:
            if record is not None or found is not None:
                return False
        elif (found["metadata"]["uid"], found["metadata"]["generation"]) != (record.uid, record.generation):
            return False
    return True


async def kind_uid(api: Api) -> str:
    """The uid of the CRD of profiles; empty where it is gone or going. Raises ApiError.

    Profiles that go because their CRD does say nothing about what anybody wants.
    """
    found = await _find(api, PROFILE_CRD)
    if found is None or found["metadata"].get("deletionTimestamp"):
        return ""
    return str(found["metadata"]["uid"])


async def _find(api: Api, path: str) -> Object | None:
    try:
        return await api.get(path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
