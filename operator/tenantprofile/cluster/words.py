"""What went wrong between here and the API server, in words for whoever has to fix it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Final

import aiohttp

_ERRNO: Final = {
    errno.ECONNREFUSED: "refused the connection; is the API server running there?",
    errno.EHOSTUNREACH: "cannot be reached: there is no route to the host",
    errno.ENETUNREACH: "cannot be reached: there is no route to the network",
    errno.ETIMEDOUT: "did not answer the attempt to connect",
    errno.ECONNRESET: "closed the connection without an answer",
    errno.EPIPE: "closed the connection without an answer",
}


def why_unreachable(error: BaseException, server: str) -> str:
    """One sentence that begins with the server's URL and names neither Python nor its classes."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{server}: the name {error.host} cannot be resolved ({_reason(error.os_error)})"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{server}: its certificate is not trusted: {_certificate(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _of_system(error.os_error, server)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return f"{server} closed the connection without an answer"
    if isinstance(error, TimeoutError):
        return f"{server} did not answer in time"
    if isinstance(error, aiohttp.InvalidURL):
        return f"{server} is no URL of a server"
    if isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)):
        return f"{server} gave an answer that is not HTTP, or broke it off; is an API server there?"
    if isinstance(error, OSError):
        return _of_system(error, server)
    return f"{server}: {error or 'the connection failed'}"


def _of_system(error: OSError, server: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{server}: its certificate is not trusted: {_certificate(error)}"
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return f"{server} does not speak TLS; should the address begin with http://?"
        found = (error.reason or "").replace("_", " ").lower()
        return f"{server}: the TLS handshake failed: {found or _reason(error)}"
    if isinstance(error, socket.gaierror):
        return f"{server}: the name cannot be resolved ({_reason(error)})"
    if words := _ERRNO.get(error.errno or 0):
        return f"{server} {words}"
    return f"{server} cannot be reached: {_reason(error)}"


def _certificate(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or error)


def _reason(error: OSError) -> str:
    if error.strerror:
        return error.strerror
    return os.strerror(error.errno) if error.errno else str(error)
