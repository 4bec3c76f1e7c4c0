"""The seal: an annotation on every policy of the operator's that nobody else can make up.

It is a keyed digest (HMAC, RFC 2104) of the namespace's uid and the policy's name, so that one taken from another
namespace or another policy proves nothing. The ledger is what ownership rests on; the seal covers what was written
in the moment before a crash, and a ledger that was lost. A policy that bears the mark of a complete baseline has
another seal, so that nobody can make up the mark, and so that it is known again where its label was taken off.
The key is a Secret in the operator's namespace, made at the first start. Without it, the operator works with a key of
its own for as long as the process lives.
"""

from __future__ import annotations

import logging
import secrets
from base64 import b64decode, b64encode
from hashlib import blake2b

from tenantprofile.cluster.api import Api, ApiError

logger = logging.getLogger(__name__)

SECRET = "tenantprofile-operator-seal"  # noqa: S105 (an object's name)
_FIELD = "key"
_MARKED = "/complete"
"""No policy's name has a slash."""


class Seal:
    """Makes and checks seals."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def of(self, namespace_uid: str, name: str, *, marked: bool = False) -> str:
        """The seal of a policy of that name in that namespace: 16 hexadecimal digits."""
        content = f"{namespace_uid}/{name}{_MARKED if marked else ''}"
        return blake2b(content.encode(), key=self._key, digest_size=8).hexdigest()

    def proves(self, namespace_uid: str, name: str, seal: str) -> bool:
        """Whether a seal is the operator's own for that policy, with the mark or without."""
        made = self.of(namespace_uid, name)
        plain = bool(seal) and secrets.compare_digest(made.encode(), seal.encode())
        return plain or self.proves_mark(namespace_uid, name, seal)

    def proves_mark(self, namespace_uid: str, name: str, seal: str) -> bool:
        """Whether the operator has put the mark of a complete baseline on that policy."""
        made = self.of(namespace_uid, name, marked=True)
        return bool(seal) and secrets.compare_digest(made.encode(), seal.encode())

    async def load(self, api: Api, namespace: str) -> None:
        """Read the key, or make it. Raises ApiError where the API server cannot be reached."""
        collection = f"/api/v1/namespaces/{namespace}/secrets"
        try:
            self._key = _key(await self._read_or_make(api, collection)) or self._key
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            logger.warning("the key of the seal (Secret %s/%s) is not kept: %s", namespace, SECRET, error)

    async def _read_or_make(self, api: Api, collection: str) -> dict[str, object]:
        try:
            return await api.get(f"{collection}/{SECRET}")
        except ApiError as error:
            if error.status != 404:
                raise
        try:
            return await api.create(
                collection,
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {
                        "name": SECRET,
                        "labels": {"app.kubernetes.io/name": "tenantprofile-operator"},
                    },
                    "data": {_FIELD: b64encode(self._key).decode()},
                },
            )
        except ApiError as error:
            if error.status != 409:
                raise
            return await api.get(f"{collection}/{SECRET}")


def _key(secret: dict[str, object]) -> bytes | None:
    data = secret.get("data")
    try:
        return b64decode(str(data[_FIELD]), validate=True) if isinstance(data, dict) else None
    except (KeyError, ValueError):
        return None
