"""The truth tables of the upstream Kubernetes e2e suite, TCP, UDP and SCTP: all of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.world import World

CASES = yaml.safe_load((Path(__file__).parent / "upstream_e2e.yaml").read_text())
SPACES, PODS = ("x", "y", "z"), ("a", "b", "c")
NAMES = [f"{space}/{pod}" for space in SPACES for pod in PODS]
FAMILIES = {"IPv4": ("10.244.{}.{}", 32, "10.240.0.0/12"), "IPv6": ("fd00:10:244:{}::{}", 128, "fd00::/16")}


def address(name, family):
    space, pod = name.split("/")
    return FAMILIES[family][0].format(SPACES.index(space) + 1, PODS.index(pod) + 1)


class Cluster:
    def __init__(self, family):
        self.family = family
        self.labels = {name: {"pod": name[-1]} for name in NAMES}
        self.labels.update({f"namespace/{space}": {"ns": space} for space in SPACES})
        self.policies = {}

    def apply(self, step):
        for name, policy in step.get("policies", {}).items():
            self.policies[name] = self._with_addresses(copy.deepcopy(policy))
        for name in step.get("remove", []):
            del self.policies[name]
        for name, labels in step.get("label", {}).items():
            self.labels[name] |= labels

    def _with_addresses(self, policy):
        text = json.dumps(policy)
        for name in NAMES:
            text = text.replace(f"<ip of {name}>", f"{address(name, self.family)}/{FAMILIES[self.family][1]}")
        return json.loads(text.replace("<wide>", FAMILIES[self.family][2]))

    def objects(self):
        for space in SPACES:
            labels = {"kubernetes.io/metadata.name": space, **self.labels[f"namespace/{space}"]}
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}}
        for name in NAMES:
            space, pod = name.split("/")
            containers = [
                {
                    "name": f"cont-{port}-{protocol.lower()}",
                    "ports": [
                        {
                            "containerPort": port,
                            "protocol": protocol,
                            "name": f"serve-{port}-{protocol.lower()}",
                        }
                    ],
                }
                for port in (80, 81)
                for protocol in ("TCP", "UDP", "SCTP")
            ]
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "namespace": space, "labels": self.labels[name]},
                "spec": {"containers": containers},
                "status": {"podIP": address(name, self.family)},
            }
        for name, policy in self.policies.items():
            yield {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": policy["namespace"]},
                "spec": policy["spec"],
            }


def matching(pattern):
    space, _, pod = pattern.partition("/")
    return [n for n in NAMES if space in ("*", n[0]) and (not pod or pod in ("*", n[-1]))]


def matrix(tables):
    expected = {(source, target): True for source in NAMES for target in NAMES}
    for table in tables:
        ((meaning, (sources, targets)),) = table.items()
        for source in matching(sources):
            for target in matching(targets):
                expected[source, target] = meaning == "allowed"
    return {pair: value for pair, value in expected.items() if pair[0] != pair[1]}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_reachability_is_what_upstream_demands(case, family):
    cluster = Cluster(family)
    for step in case["steps"]:
        cluster.apply(step)
        world = World.from_objects(cluster.objects())
        table = ConnectionMap(world)
        pods = {name: world.find(name)[0] for name in NAMES}
        for expectation in step["expect"]:
            expected = matrix(expectation["tables"])
            for text in expectation["probe"]:
                protocol, port = text.split()
                single = {
                    (s, t): verdict(world, pods[s], pods[t], protocol, int(port)).allowed for s, t in expected
                }
                assert single == expected, text
                mapped = {
                    (s, t): table.between(pods[s], pods[t]).contains(protocol, int(port)) for s, t in expected
                }
                assert mapped == expected, text


def test_all_upstream_cases_are_here():
    """42 TCP cases, 3 UDP and 3 SCTP; one table serves all three protocols of the by-pod case."""
    assert len(CASES) == 46
