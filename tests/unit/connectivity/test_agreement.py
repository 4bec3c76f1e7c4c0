"""The single answer and the map are two ways through the engine: they agree under every setting."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.settings import Settings
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.world import World
from unit.connectivity.small_worlds import PORTS, PROTOCOLS, clusters, of_kind

STATUS = (
    {},
    {"podIPs": [{"ip": "10.0.0.9"}, {"ip": "2001:db8::9"}], "hostIP": "192.0.2.1"},
    {"podIP": "fd00::7"},
)
SETTINGS = [
    Settings(ip_blocks_match_pods=blocks, host_network=host)
    for blocks in (True, False)
    for host in ("node", "pod")
]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(clusters(), st.sampled_from(SETTINGS), st.data())
def test_pods_of_every_sort_are_judged_alike(objects, chosen, data):
    """hostNetwork, both families, no address yet; the map leaves out only what the API always allows."""
    for manifest in of_kind(objects, "Pod"):
        if data.draw(st.booleans()):
            manifest["status"] = dict(data.draw(st.sampled_from(STATUS)))
        manifest["spec"]["hostNetwork"] = data.draw(st.booleans())
    world = World.from_objects(objects)
    table = ConnectionMap(world, chosen)
    for source in world.workloads:
        for destination in world.workloads:
            if source is destination:
                continue
            ports = table.between(source, destination)
            for protocol in PROTOCOLS:
                for port in PORTS:
                    one = verdict(world, source, destination, protocol, port, chosen)
                    assert (one.egress.allowed and one.ingress.allowed) == ports.contains(protocol, port)
