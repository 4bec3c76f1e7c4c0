"""One campaign: an estate, operators that are kept running, faults, and the reckoning at the end."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from chaos.estate import OWN_EDIT, Estate
from chaos.report import CampaignReport
from chaos.verdict import judge
from client import PROFILES, TEMPLATES, Client, Refused, eventually, policies_of
from controlplane import ControlPlane, is_write
from faultproxy import FaultProxy
from operatorprocess import OperatorProcess
from referee import StorageReferee

CRDS = Path(__file__).parents[2] / "crds"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
ACCOUNT = "/api/v1/namespaces/tenantprofile-system/serviceaccounts/tenantprofile-operator"

INTERVAL = 30.0
"""Seconds between full comparisons, for the operators here: the bound on every convergence."""
JITTER = 1.1
SETTLING = 3.0
"""Seconds without a write after which statuses and Events count as written out."""


class Kubelet:
    """Keeps one operator running as a kubelet would: whenever it ends, it is started again."""

    def __init__(self, process: OperatorProcess) -> None:
        self.process = process
        self.starts = 0
        self.exits: Counter[str] = Counter()
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._log_read = 0
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self, *, wait: bool = True) -> Self:
        self._wanted.set()
        self._start()
        self._thread.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, within: float = 90.0) -> None:
        def ready() -> bool:
            answers, text = self.process.probe("readyz")
            assert answers, f"{text}\n{self.process.log()[-2000:]}"
            return True

        eventually(ready, within=within)

    def kill(self, down: float = 0.0) -> None:
        """SIGKILL, and a start after so many seconds."""
        with self._lock:
            self._wanted.clear()
            self.process.kill()
        time.sleep(down)
        self._wanted.set()
        self._start()

    def stop(self) -> None:
        """SIGTERM, for good or until `start_again`."""
        with self._lock:
            self._wanted.clear()
            self.process.stop()

    def start_again(self) -> None:
        self._wanted.set()
        self._start()

    def close(self) -> None:
        self._ending.set()
        with self._lock:
            self._wanted.clear()
            self.process.kill()

    def _start(self) -> None:
        with self._lock:
            if self._wanted.is_set() and not self.process.alive:
                self.process.start(wait=False)
                self.starts += 1

    def _keep(self) -> None:
        while not self._ending.wait(0.1):
            if self._wanted.is_set() and not self.process.alive:
                with self._lock:
                    if not self._wanted.is_set() or self.process.alive:
                        continue
                    text = self.process.log()
                    said = text[self._log_read :].strip().splitlines()
                    self._log_read = len(text)
                    self.exits[re.sub(r"0x[0-9a-f]+|\d+", "#", said[-1] if said else "?")[:150]] += 1
                time.sleep(1.0)  # a kubelet backs off as well
                self._start()


class Campaign:
    """Used as a context manager; leaving it stops the operators and removes the estate."""

    def __init__(
        self, cp: ControlPlane, referee: StorageReferee, name: str, seed: int, *, namespaces: int
    ) -> None:
        self.cp = cp
        self.referee = referee
        self.client = Client(cp.admin_kubeconfig)
        tag = re.sub(r"[^a-z0-9]+", "-", name.lower())[:20].strip("-")
        self.estate = Estate(Client(cp.admin_kubeconfig), referee, tag, seed)
        self.random = random.Random(seed + 1)
        self.report = CampaignReport(name, comparison_interval=INTERVAL)
        self.faults: Counter[str] = Counter()
        self.kubelets: list[Kubelet] = []
        self.proxies: list[FaultProxy] = []
        self._size = namespaces
        self._began = time.monotonic()
        self._account = cp.service_account_kubeconfig("tenantprofile-system", "tenantprofile-operator")
        self._life: threading.Thread | None = None
        self._life_failure: BaseException | None = None
        self._audit_read = 0

    def __enter__(self) -> Self:
        self.estate.found(self._size)
        return self

    def __exit__(self, *_: object) -> None:
        self.estate.stopping.set()
        if self._life is not None:
            self._life.join(150)
        for kubelet in self.kubelets:
            kubelet.close()
        for proxy in self.proxies:
            proxy.stop()
        self.estate.clear()

    # --- who takes part ---

    def operator(
        self, *flags: str, proxy: FaultProxy | None = None, program: tuple[str, ...] = (), wait: bool = True
    ) -> Kubelet:
        """An operator that is kept running; through a proxy where one is given."""
        kubeconfig = proxy.kubeconfig(self._account) if proxy is not None else self._account
        more: dict[str, Any] = {"program": program} if program else {}
        identity = f"--identity=pod-{len(self.kubelets)}"  # as in a pod: the same after a restart
        process = OperatorProcess(
            self.cp, identity, f"--comparison-interval={INTERVAL}", *flags, kubeconfig=kubeconfig, **more
        )
        kubelet = Kubelet(process)
        self.kubelets.append(kubelet)
        return kubelet.start(wait=wait)

    def proxy(self) -> FaultProxy:
        self.proxies.append(FaultProxy(self.cp, seed=self.random.randrange(2**31)).start())
        return self.proxies[-1]

    @contextmanager
    def life(self, pause: float = 0.15, **options: bool) -> Iterator[None]:
        """Tenants and platform team are at work meanwhile."""

        def run() -> None:
            try:
                self.estate.live(pause, **options)
            except BaseException as error:
                self._life_failure = error

        self.estate.stopping.clear()
        self._life = threading.Thread(target=run, daemon=True)
        self._life.start()
        try:
            yield
        finally:
            self.estate.stopping.set()
            self._life.join(150)
            if self._life_failure is not None:
                raise self._life_failure

    def wait(self, low: float, high: float) -> None:
        """A random while."""
        time.sleep(self.random.uniform(low, high))

    # --- what is done to the cluster ---

    def freeze(self, pid: int | None, seconds: float) -> None:
        """Stop a process where it stands, and let it go on after a while (SIGSTOP, SIGCONT)."""
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def compact(self) -> None:
        """Make etcd forget its history, as far as the referee has read it."""
        self.referee.catch_up()
        self.referee.forget_history()

    @contextmanager
    def webhook(self, *, hangs: bool, seconds: int) -> Iterator[None]:
        """A webhook for the policies of every second tenant: it never answers, or is not there."""
        name = f"{self.estate.tag}-webhook"
        chosen = sorted(self.estate.namespaces)[::2]
        rule = {
            "apiGroups": ["networking.k8s.io"],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE", "DELETE"],
            "resources": ["networkpolicies"],
        }
        with socket.create_server(("127.0.0.1", 0), backlog=500) as listener:
            port = listener.getsockname()[1] if hangs else 9
            hook = {
                "name": "hook.example.com",
                "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
                "namespaceSelector": {
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": chosen}
                    ]
                },
                "rules": [rule],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": seconds,
            }
            body = {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": name},
                "webhooks": [hook],
            }
            self.client.create(WEBHOOKS, body)
            try:
                yield
            finally:
                self.client.delete(f"{WEBHOOKS}/{name}")

    @contextmanager
    def no_kinds(self) -> Iterator[None]:
        """The CRDs are deleted; then they are put back, and the estate's own objects with them."""
        self.cp.kubectl("delete", "-k", str(CRDS))
        try:
            yield
        finally:
            self.cp.kubectl("apply", "--server-side", "-k", str(CRDS))
            eventually(self._kinds_served, within=60)
            for profile in ("guard", "named"):
                self.estate.make_profile(profile)

    def _kinds_served(self) -> bool:
        try:
            return self.client.items(PROFILES) == [] and self.client.items(TEMPLATES) == []
        except (Refused, ValueError):  # "404 page not found" is no JSON
            return False

    def rotate_account(self, seconds: float) -> None:
        """The operator's token ends (its ServiceAccount is made anew), and the next one comes after a while."""
        self.client.delete(ACCOUNT)
        body = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT.rpartition("/")[2]},
        }
        self.client.create(ACCOUNT.rpartition("/")[0], body)
        time.sleep(seconds)
        self.cp.service_account_kubeconfig("tenantprofile-system", "tenantprofile-operator")

    def names(self, namespace: str) -> set[str]:
        return {item["metadata"]["name"] for item in self.client.items(policies_of(namespace))}

    def leader(self, kubelets: list[Kubelet]) -> Kubelet:
        """The operator that holds the lease."""
        path = "/apis/coordination.k8s.io/v1/namespaces/tenantprofile-system/leases/tenantprofile-operator"

        def holder() -> Kubelet:
            identity = self.client.get(path)["spec"].get("holderIdentity") or ""
            assert identity.startswith("pod-"), identity
            return kubelets[int(identity.removeprefix("pod-"))]

        return eventually(holder, within=40)

    # --- the reckoning ---

    def reckon(
        self, *, quiet: float = 2.0, may_go_back: bool = False, limit: float = INTERVAL * JITTER
    ) -> CampaignReport:
        """The faults are over: converge, be quiet, be right. Fails with everything that is not so."""
        complaints: list[str] = []
        began = time.monotonic()
        report = self.report
        try:
            self.converge(limit)
        except AssertionError as error:
            report.wrong_end_states = str(error).splitlines()
            complaints += [f"not converged within {limit:.0f} s: {error}"]
        report.seconds_to_converge = round(time.monotonic() - began, 2)
        complaints += self._be_quiet(quiet)
        complaints += self._probes()
        self.referee.catch_up()
        verdict = judge(
            list(self.referee.sightings),
            self.estate.wishes,
            own_deletions=self.estate.own_deletions,
            is_own_edit=lambda spec: OWN_EDIT.search(spec) is not None,
        )
        complaints += verdict.complaints(may_go_back=may_go_back)
        again = self.estate.differences() + self.estate.traces() + self.estate.not_ready()
        report.wrong_end_states += again
        complaints += again
        self._fill(report)
        report.judged(verdict)
        report.seconds = round(time.monotonic() - self._began, 1)
        report.complaints = complaints
        assert not complaints, "\n".join([report.name, *complaints[:25], self._logs()])
        return report

    def converge(self, limit: float) -> None:
        """Wait until everything is as desired. Raises AssertionError with what is not."""

        def check() -> bool:
            wrong = self.estate.differences()
            assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:8]])
            return True

        eventually(check, within=limit, every=0.1)

    def settle(self) -> list[str]:
        """Wait until statuses and Events are written out; the writes that do not end."""
        deadline = time.monotonic() + 60
        self._new_writes()
        while True:
            time.sleep(SETTLING)
            pending = self._new_writes()
            if not pending or time.monotonic() > deadline:
                return pending

    def _be_quiet(self, seconds: float) -> list[str]:
        """Statuses and Events may still be written for a while; after that nothing is."""
        pending = self.settle()
        time.sleep(seconds)
        writes = pending + self._new_writes()
        self.report.quiet_seconds = seconds + SETTLING
        self.report.writes_in_quiet = len(writes)
        return [f"{len(writes)} writes in the quiet, such as {writes[:3]}"] if writes else []

    def _new_writes(self) -> list[str]:
        """The operators' writes since the last call, as the API server's audit log has them."""
        log = self.cp.directory / "audit.log"
        with log.open("rb") as content:
            content.seek(self._audit_read)
            lines = content.read().splitlines(keepends=True)
        writes = []
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._audit_read += len(line)
            if b":tenantprofile-operator" not in line:
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the API server was killed in the middle of the line
            if is_write(event) and event["user"]["username"].endswith(":tenantprofile-operator"):
                code = (event.get("responseStatus") or {}).get("code")
                writes.append(f"{event['verb']} {event['requestURI']} {code}")
        return writes

    def _probes(self) -> list[str]:
        wrong = []
        for kubelet in self.kubelets:
            kubelet.wait_ready()
            for path in ("livez", "readyz"):
                answers, text = kubelet.process.probe(path)
                if not answers:
                    wrong.append(f"{path} of {kubelet.process.port}: {text}")
        return wrong

    def _fill(self, report: CampaignReport) -> None:
        report.faults = dict(self.faults)
        hits: Counter[str] = Counter()
        said: Counter[str] = Counter()
        for proxy in self.proxies:
            hits.update(proxy.hits)
            said.update(proxy.seen)
        report.requests_hit, report.api_server_said = dict(hits), dict(said)
        report.acts = dict(self.estate.acts)
        if self.estate.held_back:
            report.notes["removals held back beside a conflict"] = len(self.estate.held_back)
        report.namespaces = len(self.estate.namespaces)
        report.operator_starts = sum(k.starts for k in self.kubelets)
        exits: Counter[str] = Counter()
        for kubelet in self.kubelets:
            exits.update(kubelet.exits)
        report.operator_exits = dict(exits)

    def _logs(self) -> str:
        return "\n".join(f"--- operator {k.process.port}\n{k.process.log()[-2500:]}" for k in self.kubelets)


SHIFTED_CLOCK = Path(__file__).with_name("shifted_clock.py")
