"""The handlers of TenantProfiles and PolicyTemplates, each one call without any logic of its own.

Kopf runs the process (startup, login, signals, stop). The handlers are registered with `kopf.on.event`, which writes
nothing to the objects: change handlers would add an annotation to each, timers and daemons a finalizer (kopf#1074).
But Kopf does not watch for them; `cluster.informer` does, for these two kinds as for namespaces and policies, because
Kopf's own watches

- end with a RecursionError while one object is nested deeply (Kopf 1.45.2 walks objects by recursion), for which the
  parameters of one profile suffice;
- do not come back when a kind is served again after its CRD was deleted: Kopf scans the cluster once at the start
  (`scanning.disabled`), and with scanning on, it would need to list CRDs, which the operator has no right to;
- do not say when the first list has ended, nor what vanished while a watch was down (after a 410).

So the handlers have a registry of their own, from which the informers call them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import kopf

from tenantprofile.cluster.credentials import Credentials
from tenantprofile.cluster.decode import Object
from tenantprofile.controller.controller import Controller
from tenantprofile.controller.state import ProfileRecord
from tenantprofile.names import GROUP, VERSION
from tenantprofile.settings import KOPF_BACKOFFS


class NoStorage(kopf.DiffBaseStorage, kopf.ProgressStorage):
    """Keeps nothing, because there are no change handlers."""

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


@dataclass(frozen=True, slots=True)
class Handlers:
    """`process` is what Kopf runs; `objects` is where the handlers of objects are registered."""

    process: kopf.OperatorRegistry
    objects: kopf.OperatorRegistry


def register(controller: Controller, credentials: Credentials) -> Handlers:
    """The handlers of one operator; the controller's informers call them from here on."""
    handlers = Handlers(kopf.OperatorRegistry(), kopf.OperatorRegistry())

    @kopf.on.startup(registry=handlers.process)  # type: ignore[misc, unused-ignore]
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure_kopf(settings)

    @kopf.on.login(registry=handlers.process)  # type: ignore[misc, unused-ignore]
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await credentials.for_kopf()

    def profile(old: ProfileRecord | None, new: ProfileRecord | None, body: Object | None, **_: Any) -> None:
        controller.profile_changed(old, new, body)

    def template(name: str, **_: Any) -> None:
        controller.template_changed(name)

    for plural, handler in (("tenantprofiles", profile), ("policytemplates", template)):
        kopf.on.event(GROUP, VERSION, plural, registry=handlers.objects)(handler)  # type: ignore[arg-type, unused-ignore]
    controller.on_profile = lambda type, old, new, body: profile(type=type, old=old, new=new, body=body)
    controller.on_template = lambda type, name: template(type=type, name=name)
    return handlers


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """Kopf's settings for a process that watches nothing."""
    nothing = NoStorage()
    settings.persistence.diffbase_storage = nothing
    settings.persistence.progress_storage = nothing
    settings.persistence.finalizer = f"{GROUP}/never-added"
    settings.scanning.disabled = True
    settings.networking.error_backoffs = KOPF_BACKOFFS
    settings.posting.enabled = False
    # There is nothing to wait for at the end.
    settings.queueing.exit_timeout = 0.1
