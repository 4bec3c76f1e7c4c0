"""No input ends in a traceback: real objects with one or more values replaced, through every offline command."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.cli.main import main

OBJECTS = """
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {env: prod}, annotations: {note: a}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: shop
  labels: {app: web, pod-template-hash: x}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-x, uid: u, controller: true}]
spec:
  nodeName: n1
  hostNetwork: false
  containers: [{name: c, image: i, ports: [{containerPort: 8080, name: http, protocol: TCP}]}]
  initContainers: [{name: s, image: i, restartPolicy: Always, ports: [{containerPort: 9090, name: m}]}]
status:
  {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], hostIP: 192.0.2.1, hostIPs: [{ip: 192.0.2.1}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1]
  externalIPs: [198.51.100.1]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}, {name: m, port: 81, targetPort: 9090}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  ordinals: {start: 1}
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: i}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: night, namespace: shop}
spec:
  schedule: "0 0 * * *"
  jobTemplate:
    spec: {template: {metadata: {labels: {app: night}}, spec: {containers: [{name: c, image: i}]}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: roll, namespace: shop}
spec: {template: {metadata: {labels: {app: roll}}, spec: {containers: [{name: c, image: i}]}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: p, namespace: shop}
spec: {replicas: 1}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
  labels: {app.kubernetes.io/managed-by: someone}
  annotations: {tenantprofile.dev/lint-waive: "port-range: known, until 2030-01-01"}
spec:
  podSelector:
    matchLabels: {statefulset.kubernetes.io/pod-name: db-1}
    matchExpressions: [{key: app, operator: In, values: [db]}]
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - {podSelector: {matchLabels: {app: web}}, namespaceSelector: {}}
        - {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}
      ports: [{port: http}, {port: 80, endPort: 90, protocol: TCP}]
  egress: [{to: [{podSelector: {}}]}]
---
apiVersion: tenantprofile.dev/v1alpha1
kind: TenantProfile
metadata: {name: base}
spec:
  namespaceSelector: {matchLabels: {env: prod}}
  excludedNamespaces: [a]
  drift: Repair
  parameters: {cidrs: [10.0.0.0/8]}
  policies:
    - {template: default-deny}
    - {template: cidr-egress, name: out, parameters: {cidrs: [10.0.0.0/8]}, purpose: p, owner: o}
    - {template: mine, parameters: {port: 80}}
  assertions:
    - {name: closed, from: {addresses: [192.0.2.0/24]}, to: {podLabels: {app: web}}, expect: deny}
---
apiVersion: tenantprofile.dev/v1alpha1
kind: PolicyTemplate
metadata: {name: mine}
spec:
  description: d
  parameters: {type: object, properties: {port: {type: integer, minimum: 1}}, required: [port]}
  template: |
    podSelector: {}
    policyTypes: [Ingress]
    ingress: [{from: [{podSelector: {}}], ports: [{port: {{ params.port }}}]}]
---
apiVersion: tenantprofile.dev/v1alpha1
kind: NetworkAssertions
metadata: {name: suite}
spec:
  assertions:
    - name: one
      from: {namespaces: [shop], podLabels: {app: web}}
      to: {namespaces: [shop], workload: StatefulSet/db}
      ports: [80]
      expect: allow
"""
WORLD: list[dict[str, Any]] = list(yaml.safe_load_all(OBJECTS.replace("{{ params.port }}", "__port__")))
for _object in WORLD:
    if _object["kind"] == "PolicyTemplate":
        _object["spec"]["template"] = _object["spec"]["template"].replace("__port__", "{{ params.port }}")

STRANGE: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        70000,
        2**70,
        1.5,
        "",
        "x",
        "-",
        "a/b/c",
        "é",
        "\ud800",
        "\x00",
        "10.0.0.0/33",
        "10.0.0.1",
    ),
    *([], [None], ["x"], [[]], [{}], {}, {"x": "y"}, {"x": None}, {"": []}, {"a": {"b": ["c"]}}, "x" * 300),
]

COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "lint": lambda file, _: ["lint", file],
    "lint as SARIF": lambda file, _: ["lint", "-o", "sarif", file],
    "audit": lambda file, _: ["audit", file],
    "audit as JSON": lambda file, _: ["audit", "-o", "json", file],
    "connections": lambda file, _: ["connections", file],
    "explain a pod": lambda file, _: ["explain", "shop/web", "shop/db", "--port", "5432", file],
    "explain a Service": lambda file, _: ["explain", "192.0.2.9", "shop/svc/web", file],
    "diff": lambda file, sound: ["diff", sound, file],
    "graph": lambda file, _: ["graph", file],
    "test": lambda file, _: ["test", file],
    "render": lambda file, _: ["render", "--profile", file, "--namespace", file],
    "render for a namespace": lambda file, sound: ["render", "--profile", sound, "--namespace", file],
}


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in parts:
        yield from _places(part, (*path, step))


PLACES = list(_places(WORLD))[1:]


def _mutated(changes: list[tuple[tuple[str | int, ...], str, Any]]) -> list[Any]:
    found = copy.deepcopy(WORLD)
    for path, how, value in changes:
        parent: Any = found
        try:
            for step in path[:-1]:
                parent = parent[step]
            if how == "drop":
                del parent[path[-1]]
            elif how == "twice" and isinstance(parent, list):
                parent.append(copy.deepcopy(parent[path[-1]]))  # type: ignore[index]
            elif how == "rename" and isinstance(parent, dict):
                parent[f"{path[-1]}X"] = parent.pop(path[-1])
            else:
                parent[path[-1]] = copy.deepcopy(value)  # the same value may be put inside itself later
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return found


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(PLACES),
        st.sampled_from(["put", "put", "put", "drop", "twice", "rename"]),
        st.sampled_from(STRANGE),
    ),
    min_size=1,
    max_size=3,
)


def _text(objects: list[Any]) -> str:
    """A List as JSON, which is YAML as well, and can hold every value."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1)


def _ends_well(command: str, objects: list[Any], folder: Path) -> None:
    """The command ends with one of its exit codes, and with a reason where it could not run."""
    file, sound = folder / "in.json", folder / "sound.json"
    file.write_text(_text(objects), encoding="utf-8")
    if not sound.exists():
        sound.write_text(_text(WORLD), encoding="utf-8")
    result = CliRunner().invoke(main, COMMANDS[command](str(file), str(sound)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "this is a bug" not in result.stderr, result.stderr
    assert result.exit_code in (0, 1, 2)
    if result.exit_code == 2:
        assert result.stderr.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_objects_themselves_are_read_by_every_command(command: str, tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_text(_text(WORLD), encoding="utf-8")
    result = CliRunner().invoke(main, COMMANDS[command](str(file), str(file)))
    assert result.exit_code in (0, 1), result.stderr


@pytest.mark.parametrize("command", COMMANDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_no_change_of_real_objects_ends_in_a_traceback(
    command: str, tmp_path: Path, changes: list[tuple[tuple[str | int, ...], str, Any]]
) -> None:
    _ends_well(command, _mutated(changes), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_no_change_of_real_objects_ends_in_a_traceback_at_length(
    command: str, tmp_path: Path, changes: list[tuple[tuple[str | int, ...], str, Any]]
) -> None:
    _ends_well(command, _mutated(changes), tmp_path)
