"""Assemblies from texts, as tests write them."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from tenantprofile.analysis.world import Assembly, assemble
from tenantprofile.input.objects import SourceObject, read_text


def objects(*texts: str) -> list[SourceObject]:
    """The objects of texts, which are files 1.yaml, 2.yaml and so on."""
    return [
        item
        for number, text in enumerate(texts, 1)
        for item in read_text(dedent(text).lstrip("\n"), f"{number}.yaml")
    ]


def assembled(*texts: str) -> Assembly:
    return assemble(objects(*texts))


def pod(name: str, namespace: str, **labels: str) -> str:
    listed = ", ".join(f"{key}: {value}" for key, value in labels.items())
    return (
        f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace},"
        f" labels: {{{listed}}}}}\n"
    )


def profile(*policies: Any, **spec: Any) -> dict[str, Any]:
    """A TenantProfile for namespaces labelled tenant=x."""
    entries = [{"template": entry} if isinstance(entry, str) else entry for entry in policies]
    return {
        "apiVersion": "tenantprofile.dev/v1alpha1",
        "kind": "TenantProfile",
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"namespaceSelector": {"matchLabels": {"tenant": "x"}}, "policies": entries, **spec},
    }


SHOP = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: shop, labels: {tenant: x}}
    """
BASELINE = """
    apiVersion: tenantprofile.dev/v1alpha1
    kind: TenantProfile
    metadata: {name: base}
    spec:
      namespaceSelector: {matchLabels: {tenant: x}}
      policies: [{template: default-deny}, {template: dns-egress}]
    """
