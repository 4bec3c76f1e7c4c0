"""Where the API server is and how to be let in: in a cluster, or by a kubeconfig file.

The `kubernetes` package reads kubeconfig files, exec plugins and OIDC included. What it finds is used until one of the
files changes (looked at once a second) or the API server refuses it; nothing goes by the wall clock, which may be set
back. Then everything is read anew. Where that fails, what was known stays, and is tried again with the next refusal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import kopf
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, incluster_config, load_incluster_config, load_kube_config

logger = logging.getLogger(__name__)

LOOK: Final = 1.0
"""Seconds between two looks at the files' times; also between two renewals that refusals ask for."""


class CredentialsError(Exception):
    """There is no way in; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one request needs. `tls` is the same object as long as the certificates are the same."""

    server: str
    authorization: str | None
    tls: ssl.SSLContext | None
    material: bytes
    """A digest of the certificates and keys behind `tls`."""


class Credentials:
    """One API server and one identity, kept up to date. `clock` gives monotonic seconds."""

    def __init__(
        self,
        configuration: Any,
        kubeconfig: Path | None,
        context: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configuration = configuration
        self._kubeconfig = kubeconfig
        self._context = context
        self._clock = clock
        self._identity: Identity | None = None
        self._files: tuple[object, ...] = ()
        self._look_at = float("-inf")
        self._renewed = float("-inf")
        self._renewal: asyncio.Task[None] | None = None

    @classmethod
    async def load(cls, kubeconfig: Path | None = None, context: str | None = None) -> Credentials:
        """From a kubeconfig file where one is named, from the pod's service account otherwise.

        The file in the home folder and `KUBECONFIG` are not looked at: an operator writes, so the
        cluster is named on purpose. Raises CredentialsError.
        """
        configuration, path = await _read(kubeconfig, context)
        credentials = cls(configuration, path, context)
        await credentials.current()
        return credentials

    @property
    def user(self) -> str:
        """Who asks, as far as it is known here: the kubeconfig's user, or the pod's service account."""
        return str(getattr(self._configuration, "user_name", "") or "the service account of this pod")

    @property
    def server(self) -> str:
        """The base URL, without a slash at the end."""
        return str(self._configuration.host).rstrip("/")

    async def current(self) -> Identity:
        """The identity to use now. Raises CredentialsError only before the first one was made."""
        if self._identity is None:
            self._identity = await _identity(self._configuration, None)
            self._files = self._signature()
        elif self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK
            if self._signature() != self._files:
                await self._renew()
        return self._identity

    async def renew(self, refused: Identity) -> bool:
        """After a refusal (401, or a TLS error): read everything anew; whether there is another identity now.

        Many who ask at once cause one reading, and at most one a second.
        """
        if self._identity is refused and self._clock() >= self._renewed + LOOK:
            await self._renew()
        return self._identity is not refused

    async def _renew(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._read_again())
        await asyncio.shield(self._renewal)

    async def _read_again(self) -> None:
        self._renewed = self._clock()
        # Taken before reading: what changes meanwhile is read again.
        files = self._signature()
        try:
            if self._kubeconfig is not None or self._in_cluster:
                self._configuration, _ = await _read(self._kubeconfig, self._context)
            identity = await _identity(self._configuration, self._identity)
        except CredentialsError as error:
            logger.warning("credentials were not renewed, the old ones stay: %s", error)
            return
        self._files = files
        if identity != self._identity:
            logger.debug("credentials were renewed")
            self._identity = identity

    @property
    def _in_cluster(self) -> bool:
        return str(self._configuration.ssl_ca_cert) == incluster_config.SERVICE_CERT_FILENAME

    def _signature(self) -> tuple[object, ...]:
        """What shows that a file was written or replaced."""
        settings = self._configuration
        paths = [settings.ssl_ca_cert, settings.cert_file, settings.key_file]
        if self._kubeconfig is not None:
            paths += _files_of(self._kubeconfig)
        if self._in_cluster:
            paths.append(incluster_config.SERVICE_TOKEN_FILENAME)
        paths += getattr(settings, "token_files", ())
        return tuple(_stamp(path) for path in paths if path)

    async def for_kopf(self) -> kopf.ConnectionInfo:
        """The same credentials in the form that a `kopf.on.login` handler returns."""
        settings = self._configuration
        scheme, _, token = ((await self.current()).authorization or "").partition(" ")
        return kopf.ConnectionInfo(
            server=self.server,
            ca_path=settings.ssl_ca_cert or None,
            insecure=not settings.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=settings.cert_file or None,
            private_key_path=settings.key_file or None,
        )


def default_kubeconfig() -> Path:
    """What kubectl reads: $KUBECONFIG, which may be a list of files, or the file in the home folder."""
    return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


def _files_of(path: Path) -> list[Path]:
    """The files of a list as $KUBECONFIG has it; kubectl passes over those that do not exist."""
    return [Path(name).expanduser() for name in str(path).split(os.pathsep) if name]


def _current_context(files: Iterable[Path]) -> str | None:
    for file in files:
        found = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        if isinstance(found, Mapping) and found.get("current-context"):
            return str(found["current-context"])
    return None


async def _read(kubeconfig: Path | None, context: str | None) -> tuple[Any, Path | None]:
    configuration = Configuration()
    if kubeconfig is None and context is None:
        if "KUBERNETES_SERVICE_HOST" not in os.environ:
            raise CredentialsError("not in a cluster: name one with --kubeconfig FILE [--context NAME]")
        try:
            load_incluster_config(configuration, try_refresh_token=False)
        except (ConfigException, OSError, ValueError) as error:
            raise CredentialsError(f"no usable service account in this pod: {error}") from error
        return configuration, None
    path = kubeconfig or default_kubeconfig()
    files = [name for name in _files_of(path) if name.exists()]
    if not files:
        raise CredentialsError(f"there is no kubeconfig file {path}")
    try:
        # Of several files the first that names a current context decides; the package takes the last.
        chosen = context or (_current_context(files) if len(files) > 1 else None)
        loader = await load_kube_config(str(path), context=chosen, client_configuration=configuration)
    except (ConfigException, OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        wanted = f" context {context!r} of" if context else ""
        raise CredentialsError(f"cannot use{wanted} {path}: {error}") from error
    user = loader._user
    if user and "exec" in user and not (configuration.api_key or configuration.cert_file):
        # The package logs what went wrong, and would go on as system:anonymous, which never gets a 401.
        raise CredentialsError(f"cannot use {path}: {user['exec']['command']} gave no credentials")
    configuration.user_name = _name_of_user(loader)
    configuration.token_files = (
        [Path(user.path or path).parent / user["tokenFile"]] if user and "tokenFile" in user else []
    )
    return configuration, path


def _name_of_user(loader: Any) -> str:
    active = loader._current_context
    return (
        f"user {active['context']['user']!r} of context {active['name']!r}"
        if "user" in active["context"]
        else ""
    )


async def _identity(settings: Any, before: Identity | None) -> Identity:
    """Raises CredentialsError where a file cannot be read."""
    server = str(settings.host).rstrip("/")
    material = b""
    tls: ssl.SSLContext | None = None
    try:
        if server.startswith("https"):
            paths = (settings.ssl_ca_cert, settings.cert_file, settings.key_file)
            material = b"".join(map(_digest, paths)) + bytes([bool(settings.verify_ssl)])
            tls = before.tls if before is not None and before.material == material else _tls(settings)
        authorization = await settings.get_api_key_with_prefix("BearerToken")
    except (OSError, ValueError, ConfigException) as error:
        raise CredentialsError(f"cannot use the credentials for {server}: {error}") from error
    return Identity(server, authorization or None, tls, material)


def _digest(path: str | None) -> bytes:
    return blake2b(Path(path).read_bytes() if path else b"").digest()


def _tls(settings: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert or None)
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _stamp(path: str | Path) -> tuple[object, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return (str(path),)
    return (str(path), found.st_mtime_ns, found.st_size, found.st_ino)
