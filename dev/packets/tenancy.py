"""What tests do as the platform team: declare profiles, and wait until their policies are there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from tenantprofile.names import API_VERSION, LABEL_PROFILE

from .api import Api, ApiError, Object
from .world import wait_until


class Tenancy:
    """Profiles and templates of one test; `clear` takes them away again."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._made: list[tuple[str, str]] = []

    def apply(self, manifest: Object) -> None:
        """A TenantProfile or PolicyTemplate."""
        self.api.apply(manifest)
        made = (manifest["kind"], manifest["metadata"]["name"])
        if made not in self._made:
            self._made.append(made)

    def profile(self, name: str, labels: Mapping[str, str], policies: Iterable[Any], **spec: Any) -> None:
        """A profile for the namespaces with these labels; a policy may be just the name of its template."""
        entries = [{"template": p} if isinstance(p, str) else p for p in policies]
        selector = {"matchLabels": dict(labels)}
        self.apply(
            {
                "apiVersion": API_VERSION,
                "kind": "TenantProfile",
                "metadata": {"name": name},
                "spec": {"namespaceSelector": selector, "policies": entries, **spec},
            }
        )

    def policies(self, namespace: str) -> dict[str, Object]:
        """The managed policies of a namespace, by name."""
        found = self.api.list("NetworkPolicy", namespace, LABEL_PROFILE)
        return {item["metadata"]["name"]: item for item in found}

    def expect(self, namespace: str, names: Iterable[str], seconds: float = 20) -> dict[str, Object]:
        """Wait until a namespace has exactly these managed policies."""
        wanted = set(names)
        deadline = time.monotonic() + seconds
        while (found := self.policies(namespace)).keys() != wanted:
            if time.monotonic() > deadline:
                told = [profile.get("status") for profile in self.api.list("TenantProfile")]
                raise AssertionError(
                    f"{namespace}: expected {sorted(wanted)}, found {sorted(found)}; profiles: {told}"
                )
            time.sleep(0.02)
        return found

    def clear(self) -> None:
        """Remove what was declared, and wait until its policies are gone."""
        for kind, name in self._made:
            self.api.delete(kind, "", name)
        for kind, name in self._made:
            wait_until(partial(self._gone, kind, name), 30, f"{kind} {name} to be gone")
        self._made.clear()

    def _gone(self, kind: str, name: str) -> bool:
        try:
            self.api.get(kind, "", name)
        except ApiError as error:
            return error.status == 404
        return False
