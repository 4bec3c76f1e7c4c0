"""Where the API server is and how to be let in: in a cluster, or by a kubeconfig file.

The `kubernetes` package reads kubeconfig files (exec plugins and OIDC included) and the projected
service account token; this module hands the outcome to Kopf and to our own client, so that both
share one source of credentials and neither shares the other's session.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path
from typing import Any

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

logger = logging.getLogger(__name__)


class CredentialsError(Exception):
    """There is no way in; the message says what to do about it."""


class Credentials:
    """One API server and one identity; tokens are read anew when they are due (projected ones rotate)."""

    def __init__(self, configuration: Any, kubeconfig: Path | None, context: str | None) -> None:
        self._configuration = configuration
        self._kubeconfig = kubeconfig
        self._context = context
        self._renewal: asyncio.Task[None] | None = None

    @classmethod
    async def load(cls, kubeconfig: Path | None = None, context: str | None = None) -> Credentials:
        """From a kubeconfig file where one is named, from the pod's service account otherwise.

        The file in the home folder and `KUBECONFIG` are not looked at: an operator writes, so the
        cluster is named on purpose. Raises CredentialsError.
        """
        configuration = Configuration()
        if kubeconfig is None and context is None:
            if "KUBERNETES_SERVICE_HOST" not in os.environ:
                raise CredentialsError("not in a cluster: name one with --kubeconfig FILE [--context NAME]")
            try:
                load_incluster_config(configuration)
            except ConfigException as error:
                raise CredentialsError(f"no usable service account in this pod: {error}") from error
        else:
            path = kubeconfig or Path(os.environ.get("KUBECONFIG", Path.home() / ".kube" / "config"))
            try:
                loader = await load_kube_config(
                    str(path), context=context, client_configuration=configuration
                )
            except (ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
                wanted = f" context {context!r} of" if context else ""
                raise CredentialsError(f"cannot use{wanted} {path}: {error}") from error
            user = loader._user
            if user and "exec" in user and not (configuration.api_key or configuration.cert_file):
                # The package logs what went wrong, and would go on as system:anonymous, which never gets a 401.
                raise CredentialsError(f"cannot use {path}: {user['exec']['command']} gave no credentials")
            kubeconfig = path
        return cls(configuration, kubeconfig, context)

    @property
    def server(self) -> str:
        """The base URL, without a slash at the end."""
        return str(self._configuration.host).rstrip("/")

    async def authorization(self) -> str | None:
        """The value of the Authorization header, fresh; None where a client certificate is used."""
        return await self._configuration.get_api_key_with_prefix("BearerToken") or None

    async def renew(self) -> None:
        """After a 401: read the kubeconfig file again (exec plugins run again), once for all who ask meanwhile."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._read_again())
        await asyncio.shield(self._renewal)

    async def _read_again(self) -> None:
        if self._kubeconfig is None:
            return
        try:
            fresh = await Credentials.load(self._kubeconfig, self._context)
        except CredentialsError as error:
            logger.warning("credentials were not renewed, the old ones stay: %s", error)
        else:
            self._configuration = fresh._configuration

    def ssl_context(self) -> ssl.SSLContext | None:
        """For our own connections; None where the server is plain HTTP."""
        if not self.server.startswith("https"):
            return None
        settings = self._configuration
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert or None)
        if not settings.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        return context

    async def for_kopf(self) -> kopf.ConnectionInfo:
        """The same credentials in the form that a `kopf.on.login` handler returns."""
        settings = self._configuration
        scheme, _, token = (await self.authorization() or "").partition(" ")
        return kopf.ConnectionInfo(
            server=self.server,
            ca_path=settings.ssl_ca_cert or None,
            insecure=not settings.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=settings.cert_file or None,
            private_key_path=settings.key_file or None,
        )
