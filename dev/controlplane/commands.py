"""The command line of each part, as a pure function of where things are.

Flags are those of the ordinary programs
(kubernetes.io/docs/reference/command-line-tools-reference, etcd.io/docs).
A flag given by the user comes last, and the last one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .pki import Files

# Those that make namespaces finish, dependents go, ServiceAccounts, their
# tokens and the root CA appear, aggregated roles fill and admission policies
# report, quotas are counted; nothing that needs nodes. Not the whole set, which doubles the load.
CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
    "resourcequota-controller",
)

SERVICE_CLUSTER_IP_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Layout:
    """Folder, ports and addresses of one control plane."""

    folder: Path
    files: Files
    bind_address: str
    etcd_port: int
    etcd_peer_port: int
    apiserver_port: int
    controller_manager_port: int

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def audit_policy(self) -> Path:
        return self.folder / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def controller_manager_kubeconfig(self) -> Path:
        return self.folder / "kube-controller-manager.kubeconfig"


def etcd(layout: Layout, extra: Sequence[str] = ()) -> list[str]:
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return [
        "--name=default",
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # the data is temporary, and survives a kill of the process all the same
        *extra,
    ]


def kube_apiserver(layout: Layout, audit: bool, extra: Sequence[str] = ()) -> list[str]:
    files = layout.files
    flags = [
        f"--etcd-servers={layout.etcd_url}",
        f"--secure-port={layout.apiserver_port}",
        f"--bind-address={layout.bind_address}",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # it refuses to publish a loopback address
        f"--service-cluster-ip-range={SERVICE_CLUSTER_IP_RANGE}",
        f"--cert-dir={layout.folder}",
        f"--tls-cert-file={files.serving_certificate}",
        f"--tls-private-key-file={files.serving_key}",
        f"--client-ca-file={files.ca}",
        f"--token-auth-file={layout.tokens}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        # Without it SIGTERM waits a minute for open watches instead of ending them.
        "--shutdown-watch-termination-grace-period=2s",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={files.service_account_public_key}",
        f"--service-account-signing-key-file={files.service_account_key}",
    ]
    if audit:
        flags += [
            f"--audit-policy-file={layout.audit_policy}",
            f"--audit-log-path={layout.audit_log}",
            "--audit-log-maxsize=4096",  # megabytes before it would start another file
        ]
    return [*flags, *extra]


def kube_controller_manager(layout: Layout, extra: Sequence[str] = ()) -> list[str]:
    kubeconfig = layout.controller_manager_kubeconfig
    files = layout.files
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        # The ConfigMap it would look up may come after the API server is ready.
        "--authentication-skip-lookup=true",
        # Otherwise RBAC stops namespace deletion and garbage collection.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={files.service_account_key}",
        f"--root-ca-file={files.ca}",
        "--leader-elect=false",
        f"--controllers={','.join(CONTROLLERS)}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.controller_manager_port}",
        f"--tls-cert-file={files.serving_certificate}",
        f"--tls-private-key-file={files.serving_key}",
        *extra,
    ]
