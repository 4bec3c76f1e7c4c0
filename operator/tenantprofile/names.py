"""Names that the API, the objects in the cluster and the code share; nothing but constants."""

from __future__ import annotations

from typing import Final

GROUP: Final = "tenantprofile.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "tenantprofile-operator"
"""The name under which the API server records the operator's writes in `metadata.managedFields`."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "tenantprofile-operator"
LABEL_PROFILE: Final = f"{GROUP}/profile"
"""On every managed policy: the name of its profile. The managed set is found by it."""
LABEL_POLICY: Final = f"{GROUP}/policy"
"""On every managed policy: the name of its entry in the profile's `spec.policies`."""

ANNOTATION_TEMPLATE: Final = f"{GROUP}/template"
ANNOTATION_PURPOSE: Final = f"{GROUP}/purpose"
ANNOTATION_OWNER: Final = f"{GROUP}/owner"
ANNOTATION_APPLIED: Final = f"{GROUP}/applied-digest"
"""What the operator last wrote, as a digest: with it a change by others is told from a change of the profile."""
ANNOTATION_ADOPT: Final = f"{GROUP}/adopt"
"""Set by a person on a foreign policy: the profile that may take it over."""
ANNOTATION_SEAL: Final = f"{GROUP}/seal"
"""A keyed digest by which the operator knows its own policies again."""
LABEL_COMPLETE: Final = f"{GROUP}/complete"
"""The mark: on one policy of a namespace whose baseline was complete. The guard's pod gate waits for it."""
ANNOTATION_REPLACED: Final = f"{GROUP}/replaced"
"""The spec of the foreign policy whose name a profile with `conflicts: Replace` took."""

SYSTEM_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease", "default"})
"""Left out of every profile unless it names them on purpose."""

LABEL_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace; a tenant cannot change it."""

MAX_LABEL_VALUE: Final = 63
"""Characters in a label value (Kubernetes documentation, Labels and Selectors)."""

CLI_API_VERSION = "cli.tenantprofile.dev/v1"
"""Of every JSON and YAML output of a command: fields may be added to it, none removed or changed."""
