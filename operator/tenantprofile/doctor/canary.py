"""A namespace with two pods: made, read, and removed whatever happens.

Whoever makes one removes it in the end, also when interrupted. A run that was killed leaves it to the
next one, which finds it by label and name; its pods end by themselves before that.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from tenantprofile.cluster.api import NAMESPACES, ApiError, Object, policies_in
from tenantprofile.doctor.connection import Connection, DoctorError, insist
from tenantprofile.enforcement import objects
from tenantprofile.enforcement.attempts import Round, read_rounds
from tenantprofile.enforcement.plan import CLIENT, SERVER, Parties, Spec

POLL: Final = 0.5
LOG_LINES: Final = "40"
PATIENCE_OF_THE_API: Final = 20.0
"""Seconds for which a request is repeated that the API server may answer a moment later."""
REMOVAL: Final = 45.0
"""Seconds after which the end of a namespace is left to the cluster."""

_HOPELESS: Final = frozenset(
    {"InvalidImageName", "ErrImageNeverPull", "ImagePullBackOff", "CreateContainerConfigError"}
)

Say = Callable[[str], None]


@dataclass(slots=True)
class Canary:
    """One canary; `make` gives it a namespace, `start` its pods, `remove` takes all of it away."""

    connection: Connection
    image: str
    lifetime: int
    token: str
    name: str = ""
    uid: str = ""
    created: str = ""
    nodes: dict[str, str] = field(default_factory=dict)

    async def make(self) -> None:
        """Raises DoctorError. The name is known before the request, so that `remove` finds it at any time."""
        self.name = objects.PREFIX + secrets.token_hex(4)
        body = objects.namespace(self.name, self.lifetime)
        request = asyncio.ensure_future(
            self._asked("its namespace cannot be made", lambda: self.connection.make(NAMESPACES, body))
        )
        try:
            made = await asyncio.shield(request)
        except asyncio.CancelledError:
            # A request that is under way may still be granted: only after its end is there something to remove.
            await asyncio.wait([request])
            raise
        self.uid, self.created = made["metadata"]["uid"], made["metadata"]["creationTimestamp"]

    async def start(self, seconds: float) -> Parties:
        """Both pods, running. Raises DoctorError, also where they do not run in time."""
        end = asyncio.get_running_loop().time() + seconds
        await self._pod(objects.server(self.image, self.token, self.lifetime))
        served = await self._runs(SERVER, end)
        await self._pod(objects.client(self.image, self.token, self.lifetime, served))
        return Parties(self.name, await self._runs(CLIENT, end), served)

    async def rounds(self) -> list[Round]:
        """The latest rounds of the client. Raises DoctorError where it has ended."""
        path = f"{self._pods}/{CLIENT}/log"
        try:
            log = await self.connection.text(path, {"tailLines": LOG_LINES})
        except ApiError as error:
            if error.status in (401, 403):
                raise DoctorError(f"the log of {self.name}/{CLIENT} cannot be read: {error}") from error
            # The node may be slow to give it; where it stays so, the caller's deadline tells.
            return []
        found = read_rounds(log)
        if not found:
            await self._look(CLIENT)
        return found

    async def apply(self, policies: Mapping[str, Spec]) -> None:
        """Raises DoctorError."""
        for name, spec in policies.items():
            make = partial(self.connection.make, policies_in(self.name), objects.policy(name, spec))
            await self._asked(f"the policy {name} cannot be made", make)

    async def withdraw(self, policies: Mapping[str, Spec]) -> None:
        """Raises DoctorError."""
        for name in policies:
            remove = partial(self.connection.remove, f"{policies_in(self.name)}/{name}")
            await self._asked(f"the policy {name} cannot be removed", remove)

    async def foreign_policies(self) -> list[str]:
        """Policies in the namespace that are not of this run, such as those of a TenantProfile."""
        path = policies_in(self.name)
        found = await self._asked("its policies cannot be listed", lambda: self.connection.items(path))
        return sorted(
            str(item["metadata"]["name"])
            for item in found
            if (item["metadata"].get("labels") or {}).get(objects.LABEL_CANARY) != objects.CANARY
        )

    async def remove(self, say: Say) -> None:
        """Delete the namespace and wait for its end. Says what is left where that does not succeed."""
        if self.name:
            await remove(self.connection, {"metadata": {"name": self.name, "uid": self.uid}}, say)

    # --- pods ---

    @property
    def _pods(self) -> str:
        return f"{NAMESPACES}/{self.name}/pods"

    async def _pod(self, body: Object) -> None:
        def may_pass(error: ApiError) -> bool:
            # In a new namespace the account `default` takes a moment.
            return error.status >= 500 or error.status in (0, 429) or "serviceaccount" in error.message

        name = body["metadata"]["name"]
        try:
            await insist(lambda: self.connection.make(self._pods, body), PATIENCE_OF_THE_API, may_pass)
        except ApiError as error:
            raise DoctorError(f"the pod {self.name}/{name} cannot be made: {error}") from error

    async def _runs(self, name: str, end: float) -> tuple[str, ...]:
        """Wait until a pod runs; its addresses."""
        while True:
            pod = await self._look(name)
            status = pod.get("status") or {}
            addresses = tuple(str(one["ip"]) for one in status.get("podIPs") or ())
            if (
                status.get("phase") == "Running"
                and addresses
                and _container(status).get("state", {}).get("running")
            ):
                self.nodes[name] = str(pod["spec"].get("nodeName", ""))
                return addresses
            reason = waiting_for(status)
            if asyncio.get_running_loop().time() > end or reason.partition(":")[0] in _HOPELESS:
                phase = status.get("phase", "Pending")
                raise DoctorError(f"the pod {self.name}/{name} does not run ({phase}): {reason}")
            await asyncio.sleep(POLL)

    async def _look(self, name: str) -> Object:
        """The pod. Raises DoctorError where it is gone or has ended."""
        path = f"{self._pods}/{name}"
        pod: Object = await self._asked(
            f"the pod {self.name}/{name} is gone", lambda: self.connection.get(path)
        )
        status = pod.get("status") or {}
        if status.get("phase") in ("Failed", "Succeeded"):
            ended = _container(status).get("state", {}).get("terminated") or {}
            reason = status.get("reason") or ended.get("reason") or "no reason is given"
            try:
                log = (await self.connection.text(f"{path}/log", {"tailLines": "5"})).strip()
            except ApiError:
                log = ""
            said = f"; it said: {log}" if log else ""
            raise DoctorError(f"the pod {self.name}/{name} has ended ({reason}){said}")
        return pod

    async def _asked(self, what: str, request: Callable[[], Any]) -> Any:
        try:
            return await insist(request, PATIENCE_OF_THE_API)
        except ApiError as error:
            raise DoctorError(f"{what}: {error}") from error


def waiting_for(status: Mapping[str, Any]) -> str:
    """What a pod that does not run waits for, as far as its status tells: `Reason: message`."""
    waiting = _container(status).get("state", {}).get("waiting") or {}
    if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
        return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    if not status.get("conditions"):
        return "no scheduler has taken it up"
    return "its container is being created"


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found = status.get("containerStatuses") or [{}]
    first: Mapping[str, Any] = found[0]
    return first


# --- what earlier runs have left behind ---


async def leftovers(connection: Connection) -> list[Object]:
    """Namespaces of canaries that are there. Raises ApiError."""
    found = await connection.items(NAMESPACES, objects.SELECTOR)
    return [item for item in found if objects.is_canary(item)]


def has_outlived(found: Mapping[str, Any], now: str) -> bool:
    """Whether the run that made a canary is over for certain. now: by the API server's own clock."""
    lifetime = timedelta(seconds=objects.lifetime_of(found) or 0)
    return _time(found["metadata"]["creationTimestamp"]) + lifetime < _time(now)


async def remove(connection: Connection, found: Mapping[str, Any], say: Say) -> bool:
    """Delete a canary's namespace and wait for its end; whether it is gone. Says what is left otherwise."""
    name, uid = str(found["metadata"]["name"]), str(found["metadata"]["uid"])
    path = f"{NAMESPACES}/{name}"
    end = asyncio.get_running_loop().time() + REMOVAL
    try:
        # 409: another namespace of this name is there by now, which is not ours.
        await insist(lambda: connection.remove(path, uid), PATIENCE_OF_THE_API)
        while asyncio.get_running_loop().time() < end:
            there = await insist(lambda: connection.get(path), PATIENCE_OF_THE_API)
            if uid and there["metadata"]["uid"] != uid:
                return True
            await asyncio.sleep(POLL)
    except ApiError as error:
        if error.status in (404, 409):
            return True
        say(f"the namespace {name} could not be removed: {error}; tenantprofile doctor --cleanup does it")
        return False
    say(f"the namespace {name} is deleted, but not gone yet; the cluster goes on with it")
    return False


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
