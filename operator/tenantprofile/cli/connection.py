"""A cluster as commands talk to it: found as kubectl finds it, and its refusals in plain words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenantprofile.cluster.api import Api, ApiError
    from tenantprofile.cluster.credentials import Credentials


class ConnectionFailed(Exception):
    """There is no way to the cluster; the message says what is in the way."""


@asynccontextmanager
async def connected(
    kubeconfig: Path | None, context: str | None, *, current: bool = False
) -> AsyncIterator[tuple[Api, Credentials]]:
    """A client for one command. Raises ConnectionFailed.

    current: without either name, the current context of the files that kubectl reads, or the pod's service
    account where there are none. For commands that only read.
    """
    # Imported here: most uses need no cluster, and the client takes a third of a second to load.
    from tenantprofile.cluster.api import Api
    from tenantprofile.cluster.credentials import Credentials, CredentialsError, default_kubeconfig

    if current and kubeconfig is None and context is None:
        usual = default_kubeconfig()
        kubeconfig = usual if _exists(usual) or not _in_pod() else None
    try:
        credentials = await Credentials.load(kubeconfig, context)
    except CredentialsError as error:
        raise ConnectionFailed(str(error)) from error
    async with Api(credentials) as api:
        yield api, credentials


def plain(error: ApiError, credentials: Credentials) -> str:
    """Why a request failed: who may not do what, or what became of the connection."""
    from tenantprofile.cluster.transport import TransportError

    cause = error.__cause__
    if isinstance(cause, TransportError):
        return cause.why
    if error.status == 401:
        return (
            f"{credentials.server} does not accept the credentials of {credentials.user} (401): they are wrong or have"
            " expired; log in again"
        )
    if error.status == 403:
        return f"{credentials.server} does not allow it (403): {error.message or 'no reason is given'}"
    return f"{credentials.server}: {error}"


def _exists(paths: Path) -> bool:
    import os

    return any(Path(name).expanduser().exists() for name in str(paths).split(os.pathsep) if name)


def _in_pod() -> bool:
    import os

    return "KUBERNETES_SERVICE_HOST" in os.environ
