"""The operator's client, with what only this command does: logs, deletion without a precondition on the
version, writes under a name of its own, and questions that are asked again where the answer may change.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from tenantprofile.cluster.api import Api, ApiError, Gone, Object
from tenantprofile.cluster.credentials import Credentials, CredentialsError
from tenantprofile.cluster.errors import refusal
from tenantprofile.cluster.transport import TransportError
from tenantprofile.enforcement.objects import MANAGER
from tenantprofile.settings import READ_DEADLINE

Result = TypeVar("Result")

PASSING: Final = frozenset({0, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed a moment later; 0 is no answer at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request: its status, what a refusal says, and warnings beside it."""

    status: int
    message: str
    warnings: tuple[str, ...]
    body: Object


class DoctorError(Exception):
    """The command cannot do its work; the message says what is in the way."""


class Connection(Api):
    """Requests of this command to one API server."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__(credentials, connections=8)
        self.server = credentials.server

    async def text(self, path: str, params: Mapping[str, str]) -> str:
        """Something that is not JSON, such as a log. Raises ApiError."""
        return (await self._raw("GET", f"{path}?{urlencode(params)}")).decode(errors="replace")

    async def make(self, path: str, body: Mapping[str, Any]) -> Object:
        """POST, under this command's name as field manager. Raises ApiError."""
        data = json.dumps(body).encode()
        return await self._request(
            "POST", f"{path}?fieldManager={MANAGER}", data=data, content_type="application/json"
        )

    async def remove(self, path: str, uid: str = "") -> None:
        """DELETE; something that is gone already is fine. uid: of exactly this object. Raises ApiError."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions"} | (
            {"preconditions": {"uid": uid}} if uid else {}
        )
        try:
            data = json.dumps(options).encode()
            await self._request("DELETE", path, data=data, content_type="application/json")
        except ApiError as error:
            if error.status != 404:
                raise

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        user: str = "",
    ) -> Reply:
        """What the API server says to one request, a refusal included; as another user, by impersonation.

        Raises ApiError where there is no answer.
        """
        headers = {"Accept": "application/json", "Content-Type": content_type}
        if user:
            headers["Impersonate-User"] = user
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = await self._transport.request(
                method, path, body=data, headers=headers, timeout=READ_DEADLINE
            )
        except TransportError as error:
            raise ApiError(0, "Unreachable", str(error)) from error
        getall = getattr(answer.headers, "getall", None)
        warnings = getall("Warning", []) if getall else [answer.headers.get("Warning", "")]
        message = ""
        if answer.status >= 400:
            message = str(refusal(answer))
        try:
            content = json.loads(answer.body or b"{}")
        except ValueError:
            content = {}
        return Reply(answer.status, message, tuple(str(w) for w in warnings if w), content)

    async def items(self, path: str, selector: str | None = None) -> list[Object]:
        """Everything in a list. Raises ApiError."""
        try:
            return [item async for page in self.pages(path, selector=selector) for item in page.items]
        except Gone as error:
            raise ApiError(410, "Expired", f"the list of {path} expires before it ends") from error


@asynccontextmanager
async def connect(kubeconfig: Path | None, context: str | None) -> AsyncIterator[Connection]:
    """Raises DoctorError where there is no way in."""
    try:
        credentials = await Credentials.load(kubeconfig, context)
        async with Connection(credentials) as connection:
            yield connection
    except CredentialsError as error:
        raise DoctorError(str(error)) from error
    except OSError as error:  # certificate files that a kubeconfig names and nobody finds
        raise DoctorError(str(error)) from error


async def insist(
    request: Callable[[], Awaitable[Result]],
    seconds: float,
    again: Callable[[ApiError], bool] = lambda error: error.status in PASSING,
) -> Result:
    """Repeat a request while its error may pass, for so long at most. Raises the last ApiError."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while True:
        try:
            return await request()
        except ApiError as error:
            pause = max(error.retry_after or 0.0, 0.5)
            if not again(error) or clock() + pause > end:
                raise
        await asyncio.sleep(pause)
