"""The doors: each Kopf handler translates one event into one call, and has no logic of its own.

Only `on.event` is used: it writes nothing to the objects. Change handlers would add an annotation to
every object, timers and daemons a finalizer (kopf#1074). Namespaces and policies, which there are by the
thousand, come through `cluster.watching` instead.
"""

from __future__ import annotations

from typing import Any

import kopf

from tenantprofile.cluster.credentials import Credentials
from tenantprofile.controller.controller import Controller
from tenantprofile.names import GROUP, VERSION


class NoStorage(kopf.DiffBaseStorage, kopf.ProgressStorage):
    """Keeps nothing, because there are no change handlers; saves a copy of every object."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def build(self, **_: Any) -> Any:
        return kopf.BodyEssence({})

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


def registry(controller: Controller, credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers of one operator."""
    doors = kopf.OperatorRegistry()

    @kopf.on.startup(registry=doors)  # type: ignore[misc, unused-ignore]
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure_kopf(settings)

    @kopf.on.login(registry=doors)  # type: ignore[misc, unused-ignore]
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await credentials.for_kopf()

    @kopf.on.event(GROUP, VERSION, "tenantprofiles", registry=doors)  # type: ignore[misc, unused-ignore]
    async def profile(type: str | None, event: Any, **_: Any) -> None:
        if type == "DELETED":
            controller.profile_gone(event["object"])
        else:
            controller.profile_seen(event["object"])

    @kopf.on.event(GROUP, VERSION, "policytemplates", registry=doors)  # type: ignore[misc, unused-ignore]
    async def template(type: str | None, event: Any, **_: Any) -> None:
        if type == "DELETED":
            controller.template_gone(event["object"])
        else:
            controller.template_seen(event["object"])

    return doors


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """Kopf's settings for a door that only listens."""
    nothing = NoStorage()
    settings.persistence.diffbase_storage = nothing
    settings.persistence.progress_storage = nothing
    settings.persistence.finalizer = f"{GROUP}/never-added"
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500  # type: ignore[attr-defined, unused-ignore]
    # By default the pauses grow to 34 s, in which a new namespace would stay open after the API server
    # is back. When these are used up, Kopf ends and is started again.
    settings.networking.error_backoffs = (0.1, 0.2, 0.5, *(1.0,) * 30)
    settings.posting.enabled = False
    # Handlers return at once, so there is nothing to wait for at the end.
    settings.queueing.exit_timeout = 0.1
    # A worker of Kopf's for each object seen stays for that long, by default five seconds.
    settings.queueing.idle_timeout = 0.1
