"""The chart's README and values.schema.json, from the comments and defaults in values.yaml.

    python deploy/helm/generate.py            writes both
    python deploy/helm/generate.py --check    writes nothing; exit code 1 and the names of stale files

A value without a comment is an error (exit code 2).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).resolve().parent / "tenantprofile-operator"
Schema = dict[str, Any]

FREE: Final = {
    "nodeSelector", "affinity", "podLabels", "podAnnotations", "commonLabels", "profiles", "templates", "resources",
    "serviceAccount.annotations", "metrics.scrapeFrom", "metrics.podMonitor.labels", "metrics.serviceMonitor.labels",
    "metrics.prometheusRule.labels", "metrics.dashboards.labels",
}  # fmt: skip
"""Maps whose keys are the user's own; any other map has exactly the keys of values.yaml."""

_PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
_NAME: Final = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_STRINGS: Final[Schema] = {"additionalProperties": {"type": "string"}}
_OBJECTS: Final[Schema] = {"propertyNames": {"pattern": _NAME}, "additionalProperties": {"type": "object"}}
_CIDRS: Final[Schema] = {"items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}}
_DURATION: Final[Schema] = {"pattern": "^[0-9]+(ms|s|m|h)$"}

BOUNDS: Final[dict[str, Schema]] = {
    "image.repository": {"minLength": 1},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "image.pullSecrets": {
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        }
    },
    "replicas": {"minimum": 0, "maximum": 20},
    "args": {"items": {"type": "string", "pattern": "^--"}},
    "env": {"items": {"type": "object", "required": ["name"]}},
    "topologySpreadConstraints": {"items": {"type": "object"}},
    "tolerations": {"items": {"type": "object"}},
    "podDisruptionBudget.minAvailable": {"type": ["integer", "string"]},
    "networkPolicy.apiServer.ports": {"items": _PORT, "minItems": 1},
    "networkPolicy.apiServer.cidrs": _CIDRS,
    "networkPolicy.dns.nodeLocalCidrs": _CIDRS,
    "guard.parts": {"items": {"type": "string", "pattern": _NAME}, "uniqueItems": True},
    "guard.distrusted": {"items": {"type": "string", "minLength": 1}},
    "guard.validationActions": {"items": {"enum": ["Deny", "Warn", "Audit"]}, "uniqueItems": True},
    "metrics.port": _PORT,
    "metrics.podMonitor.interval": _DURATION,
    "metrics.serviceMonitor.interval": _DURATION,
    "profiles": _OBJECTS,
    "templates": _OBJECTS,
    **dict.fromkeys(FREE - {"affinity", "profiles", "templates", "resources"}, _STRINGS),
}
"""What a value's type alone does not say."""


class MissingCommentError(ValueError):
    """A value that nobody described."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value by its dotted path, its default and what its comment says."""

    path: str
    default: Any
    comment: str

    @property
    def is_group(self) -> bool:
        """Whether it only holds other values, which are described one by one."""
        return isinstance(self.default, dict) and bool(self.default) and self.path not in FREE


def read(text: str) -> list[Value]:
    """The values of a values.yaml in its order. Raises MissingCommentError."""
    defaults = yaml.safe_load(text)
    found: list[Value] = []
    comment: list[str] = []
    place: list[tuple[int, str]] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
            continue
        key = re.match(r"( *)([A-Za-z][A-Za-z0-9]*):(?: |$)", line)
        if key is None:
            comment = []
            continue
        indent = len(key[1])
        place = [*(item for item in place if item[0] < indent), (indent, key[2])]
        value = _at(defaults, path := ".".join(name for _, name in place))
        within = [v for v in found if path.startswith(f"{v.path}.") and not v.is_group]
        if not within:
            found.append(Value(path, value, " ".join(comment)))
            if not found[-1].is_group and not comment:
                raise MissingCommentError(
                    f"values.yaml: {path} has no comment; expected one on the lines above it"
                )
        comment = []
    return found


def schema(values: list[Value]) -> Schema:
    """The JSON schema (draft 7, as Helm reads it) that the values have to satisfy."""
    top: Schema = _group()
    top = {"$schema": "http://json-schema.org/draft-07/schema#", **top}
    # Helm adds `global` to the values of every chart that is part of another.
    top["properties"]["global"] = {"type": "object"}
    for value in values:
        *parents, name = value.path.split(".")
        owner = top
        for parent in parents:
            owner = owner["properties"][parent]
        own = _group() if value.is_group else {"type": _type(value.default)}
        described = {"description": value.comment} if value.comment else {}
        owner["properties"][name] = described | own | BOUNDS.get(value.path, {})
    return top


def readme(values: list[Value], chart: dict[str, Any]) -> str:
    """The chart's page."""
    rows = [
        f"| `{value.path}` | {_cell(value.comment)} | `{_cell(json.dumps(value.default))}` |"
        for value in values
        if not value.is_group
    ]
    return (
        README.replace("VERSION", str(chart["version"])).replace(
            "KUBERNETES", chart["kubeVersion"].removesuffix("-0")
        )
        + "\n".join(["| value | what it does | default |", "|---|---|---|", *rows])
        + "\n"
    )


README: Final = """\
<!-- Generated by deploy/helm/generate.py from values.yaml. -->
# TenantProfile operator: Helm chart

Version VERSION. Needs Kubernetes KUBERNETES and Helm 4; Helm 3 works as well.

```console
$ helm install tenantprofile-operator deploy/helm/tenantprofile-operator \\
    --namespace tenantprofile-system --create-namespace \\
    --set image.repository=<your registry>/tenantprofile-operator
```

With default values this is the same as `crds`, `deploy/crd-protection` and `deploy/base` together, except for the
namespace, which Helm creates without labels. Install it once per cluster.

- **Upgrade**: `helm upgrade`. The CRDs are templates, so they are upgraded with the release.
- **Roll back**: `helm rollback`. Policies stay in force. An older CRD prunes the fields that it does not know.
- **Uninstall**: read docs/uninstall.md first. `helm uninstall` leaves CRDs, their protection, profiles and policies.
- **Profiles as values**: add them with the first upgrade, when the CRDs are there.
- **Release name**: use `tenantprofile-operator`. Objects have that name whatever the release is called.

"""


def _group() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _type(default: Any) -> str:
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return names[type(default)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _at(defaults: Any, path: str) -> Any:
    for name in path.split("."):
        defaults = defaults[name] if isinstance(defaults, dict) and name in defaults else None
    return defaults


def main(arguments: list[str] | None = None) -> int:
    """Write or check both files; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a file is stale")
    check = parser.parse_args(arguments).check
    try:
        values = read((CHART / "values.yaml").read_text(encoding="utf-8"))
    except MissingCommentError as error:
        print(error, file=sys.stderr)
        return 2
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    wanted = {
        CHART / "README.md": readme(values, chart),
        CHART / "values.schema.json": json.dumps(schema(values), indent=2) + "\n",
    }
    stale = [p for p, text in wanted.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.name} is stale; run: python deploy/helm/generate.py", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
