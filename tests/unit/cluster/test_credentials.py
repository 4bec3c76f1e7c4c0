"""Credentials that are replaced are taken up with the next request, by files and refusals and not by the clock."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes.aio.config import incluster_config

from controlplane import pki
from controlplane.kubeconfig import document, write
from controlplane.process import free_ports
from tenantprofile.cluster import credentials as module
from tenantprofile.cluster.api import Api, ApiError
from tenantprofile.cluster.credentials import Credentials, CredentialsError


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.0)


def kubeconfig(folder: Path, plugin: str, server: str = "http://127.0.0.1:1") -> Path:
    """A kubeconfig whose user runs a shell command for its token."""
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", plugin]}
    return write(folder / "kubeconfig", document({"server": server}, "it", {"exec": command}))


def counting(runs: Path) -> str:
    """A plugin that writes a line each time, and whose token says how many there are."""
    file = shlex.quote(str(runs))
    status = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
    )
    return f"echo run >> {file}; printf '{status}' run-$(grep -c . {file})"


async def token(credentials: Credentials) -> str | None:
    return (await credentials.current()).authorization


async def test_many_refusals_at_once_run_the_plugin_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    credentials = await Credentials.load(kubeconfig(tmp_path, counting(runs)))
    refused = await credentials.current()
    assert refused.authorization == "Bearer run-1"
    assert all(await asyncio.gather(*(credentials.renew(refused) for _ in range(36))))
    assert await token(credentials) == "Bearer run-2"
    # One whose refusal arrives late uses what is there by then.
    assert await credentials.renew(refused)
    assert runs.read_text().splitlines() == ["run"] * 2
    assert await credentials.renew(await credentials.current())
    assert await token(credentials) == "Bearer run-3"


async def test_a_refusal_that_stays_runs_the_plugin_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK", 1.0)
    runs = tmp_path / "runs"
    credentials = await Credentials.load(kubeconfig(tmp_path, counting(runs)))
    now = 100.0
    credentials._clock = lambda: now
    for _ in range(50):
        await credentials.renew(await credentials.current())
    assert runs.read_text().splitlines() == ["run"] * 2
    now += 1.0
    assert await credentials.renew(await credentials.current())


async def test_one_who_stops_waiting_does_not_stop_the_others(tmp_path: Path) -> None:
    credentials = await Credentials.load(kubeconfig(tmp_path, counting(tmp_path / "runs")))
    refused = await credentials.current()
    impatient = asyncio.create_task(credentials.renew(refused))
    await asyncio.sleep(0)
    patient = asyncio.create_task(credentials._renew())
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert await token(credentials) == "Bearer run-2"


async def test_a_plugin_that_fails_leaves_the_old_credentials(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    credentials = await Credentials.load(kubeconfig(tmp_path, counting(runs)))
    kubeconfig(tmp_path, "exit 1")
    assert not await credentials.renew(await credentials.current())
    assert await token(credentials) == "Bearer run-1"


async def test_a_plugin_that_fails_at_the_start_is_an_error(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "exit 1")
    with pytest.raises(CredentialsError, match=f"{path}: sh gave no credentials"):
        await Credentials.load(path)


async def test_a_certificate_file_that_is_missing_at_the_start_is_an_error(tmp_path: Path) -> None:
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority": str(tmp_path / "none")}
    path = write(tmp_path / "kubeconfig", document(cluster, "it", {"token": "t"}))
    with pytest.raises(CredentialsError, match="none"):
        await Credentials.load(path)


# --- against a server ---


class Server:
    """Answers 200 to whom it knows, 401 to others."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.accepted = ""
        self.serial: int | None = None
        self.requests = 0

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/x", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls, reuse_address=True).start()
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        serial = int(certificate["serialNumber"], 16) if certificate else None
        known = request.headers.get("Authorization", "").lower() == self.accepted and serial == self.serial
        return web.json_response({"ok": known}, status=200 if known else 401)


async def test_an_exec_credential_that_is_refused_is_replaced_before_anybody_notices(tmp_path: Path) -> None:
    server = Server()
    server.accepted = "bearer run-1"
    path = kubeconfig(tmp_path, counting(tmp_path / "runs"), f"http://127.0.0.1:{server.port}")
    async with server.running(), Api(await Credentials.load(path)) as api:
        assert await api.get("/x") == {"ok": True}
        server.accepted = "bearer run-2"
        assert await api.get("/x") == {"ok": True}
        server.accepted = "nobody"
        with pytest.raises(ApiError) as raised:
            await api.get("/x")
        assert raised.value.concerns == "rights"


async def test_a_token_file_that_changes_is_read_again(tmp_path: Path) -> None:
    server = Server()
    (tmp_path / "token").write_text("first")
    cluster = {"server": f"http://127.0.0.1:{server.port}"}
    path = write(tmp_path / "kubeconfig", document(cluster, "it", {"tokenFile": "token"}))
    async with server.running(), Api(await Credentials.load(path)) as api:
        for name in ("first", "second"):
            (tmp_path / "token").write_text(name)
            server.accepted = f"bearer {name}"
            server.requests = 0
            assert await api.get("/x") == {"ok": True}
            assert server.requests == 1
        # Missing for a moment: the old one stays, and where that is refused, it is an error like any other.
        (tmp_path / "token").unlink()
        assert await api.get("/x") == {"ok": True}
        server.accepted = "bearer third"
        with pytest.raises(ApiError):
            await api.get("/x")
        (tmp_path / "token").write_text("third")
        assert await api.get("/x") == {"ok": True}


async def test_a_projected_token_is_read_again_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = authority(tmp_path / "pki")
    server = Server()
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(version)
    (tmp_path / "data").symlink_to("1")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "data" / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(files.ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    server.accepted = "bearer 1"
    async with server.running(serving(files)), Api(await Credentials.load()) as api:
        assert await api.get("/x") == {"ok": True}
        # As the kubelet does it: another folder, swapped in by a rename.
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").rename(tmp_path / "data")
        server.accepted = "bearer 2"
        assert await api.get("/x") == {"ok": True}


def authority(folder: Path) -> pki.Files:
    folder.mkdir()
    return pki.create(folder, ["127.0.0.1"])


def serving(files: pki.Files, client: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.serving_certificate, files.serving_key)
    if client is not None:
        context.load_verify_locations(client)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def test_another_authority_is_trusted_as_soon_as_its_file_is_there(tmp_path: Path) -> None:
    server = Server()
    old, new = (authority(tmp_path / name) for name in ("old", "new"))
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes(old.ca.read_bytes())
    cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority": str(trusted)}
    path = write(tmp_path / "kubeconfig", document(cluster, "it", {"token": "t"}))
    server.accepted = "bearer t"
    async with Api(await Credentials.load(path)) as api:
        async with server.running(serving(old)):
            assert await api.get("/x") == {"ok": True}
        async with server.running(serving(new)):
            with pytest.raises(ApiError) as raised:
                await api.get("/x")
            assert raised.value.status == 0
            trusted.write_bytes(new.ca.read_bytes())
            assert await api.get("/x") == {"ok": True}


def client_certificate(serial: int) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"client-{serial}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


async def test_a_client_certificate_that_is_replaced_in_the_kubeconfig_is_used(tmp_path: Path) -> None:
    server = Server()
    files = authority(tmp_path / "pki")
    certificates = [client_certificate(serial) for serial in (1, 2)]
    known = tmp_path / "clients.crt"
    known.write_bytes(b"".join(certificate for certificate, _ in certificates))

    def replace_with(index: int) -> Path:
        certificate, key = (base64.b64encode(part).decode() for part in certificates[index])
        user = {"client-certificate-data": certificate, "client-key-data": key}
        cluster = {
            "server": f"https://127.0.0.1:{server.port}",
            "certificate-authority": str(files.ca),
        }
        path = write(tmp_path / "next", document(cluster, "it", user))
        os.replace(path, tmp_path / "kubeconfig")
        return tmp_path / "kubeconfig"

    path = replace_with(0)
    server.serial = 1
    async with server.running(serving(files, known)), Api(await Credentials.load(path)) as api:
        assert await api.get("/x") == {"ok": True}
        server.serial = 2
        with pytest.raises(ApiError) as raised:
            await api.get("/x")
        assert raised.value.status == 401
        replace_with(1)
        assert await api.get("/x") == {"ok": True}
        assert json.dumps(await api.get("/x", control=True)) == '{"ok": true}'
