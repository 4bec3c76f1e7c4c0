"""Scrapes over TLS with tokens that the API server knows and judges, under the shipped RBAC."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client import eventually
from cluster.conftest import World
from controlplane import ControlPlane, pki
from controlplane.process import free_ports
from operatorprocess import NAMESPACE, OperatorProcess

COMPONENT = Path(__file__).resolve().parents[2] / "deploy/components/metrics-secure"
READER = "tenantprofile-metrics-reader"


@pytest.fixture
def rights(cp: ControlPlane) -> Iterator[None]:
    """The component's RBAC; taken away again, because the other tests run without it."""
    cp.kubectl("apply", "--server-side", "-f", str(COMPONENT / "rbac.yaml"))
    cp.kubectl("create", "serviceaccount", "stranger", "-n", NAMESPACE)
    yield
    cp.kubectl("delete", "-f", str(COMPONENT / "rbac.yaml"), "--ignore-not-found")
    cp.kubectl("delete", "serviceaccount", "stranger", "-n", NAMESPACE)


class Scraper:
    """Scrapes as Prometheus does: over TLS with one authority, and a bearer token."""

    def __init__(self, port: int, authority: Path) -> None:
        self._url = f"https://127.0.0.1:{port}/metrics"
        self.trust(authority)

    def trust(self, authority: Path) -> None:
        self._tls = ssl.create_default_context(cafile=str(authority))

    def scrape(self, token: str = "") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=15) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A certificate as a pod gets it, `tls.crt` and `tls.key` behind a link that is swapped when they are renewed."""
    renew(tmp_path, "first")
    return tmp_path


def renew(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    made = pki.create(folder / name, ["127.0.0.1"])
    made.serving_certificate.rename(folder / name / "tls.crt")
    made.serving_key.rename(folder / name / "tls.key")
    link = folder / "link"
    link.symlink_to(name)
    link.rename(folder / "data")


def secure(port: int, folder: Path) -> list[str]:
    data = folder / "data"
    return [
        f"--metrics-port={port}",
        "--metrics-secure",
        f"--metrics-cert={data / 'tls.crt'}",
        f"--metrics-key={data / 'tls.key'}",
    ]


def test_only_who_may_get_metrics_gets_them(
    cp: ControlPlane,
    world: World,
    start: Callable[..., OperatorProcess],
    rights: None,
    files: Path,
) -> None:
    (port,) = free_ports(1)
    start(*secure(port, files))
    scraper = Scraper(port, files / "first/ca.crt")
    good = cp.service_account_token(NAMESPACE, READER)
    status, text = scraper.scrape(good)
    assert status == 200, text
    assert "tenantprofile_build_info" in text
    status, text = scraper.scrape(cp.service_account_token(NAMESPACE, "stranger"))
    assert (status, "Forbidden" in text) == (403, True)
    for refused in ("", "x", good[:-8] + "AAAAAAAA"):
        status, text = scraper.scrape(refused)
        assert (status, "Unauthorized" in text) == (401, True)
    with pytest.raises(urllib.error.URLError) as failure:
        Scraper(port, cp.ca_file).scrape(good)
    assert isinstance(failure.value.reason, ssl.SSLCertVerificationError)


def test_a_renewed_certificate_is_served_without_a_restart(
    cp: ControlPlane,
    world: World,
    start: Callable[..., OperatorProcess],
    rights: None,
    files: Path,
) -> None:
    (port,) = free_ports(1)
    operator = start(*secure(port, files))
    pid = operator.pid
    scraper = Scraper(port, files / "first/ca.crt")
    token = cp.service_account_token(NAMESPACE, READER)
    assert scraper.scrape(token)[0] == 200
    renew(files, "second")
    scraper.trust(files / "second/ca.crt")
    assert eventually(lambda: scraper.scrape(token)[0]) == 200
    assert operator.pid == pid
    # A pair that does not fit changes nothing.
    (files / "second/tls.key").write_bytes((files / "first/tls.key").read_bytes())
    eventually(lambda: "the new certificate of /metrics cannot be used" in operator.log())
    assert scraper.scrape(token)[0] == 200


def test_an_operator_that_may_not_ask_lets_nobody_in_and_says_why(
    cp: ControlPlane,
    world: World,
    start: Callable[..., OperatorProcess],
    files: Path,
) -> None:
    (port,) = free_ports(1)
    operator = start(*secure(port, files))
    status, _ = Scraper(port, files / "first/ca.crt").scrape("x")
    assert status == 503
    assert "cannot be found out" in operator.log()
    assert "tokenreviews" in operator.log()
