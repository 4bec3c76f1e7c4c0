"""Errors of the connection, in plain words and never Python's: with real sockets and a real TLS server."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tenantprofile.cli.main import main

PYTHONS = ("Error(", "Errno", "Traceback", "ConnectionKey", "ssl:", "aiohttp", "<class", "object at")


def kubeconfig(folder: Path, server: str, ca: Path | None = None) -> Path:
    path = folder / "kubeconfig"
    cluster = {"server": server} | ({"certificate-authority": str(ca)} if ca else {})
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "ada", "user": {"token": "secret"}}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "ada"}}],
            }
        )
    )
    return path


COMMANDS = (
    ["audit"],
    ["connections"],
    ["diff", "-"],
    ["doctor"],
    ["explain", "a/b", "c/d"],
    ["graph"],
    ["lint"],
    ["needs"],
    ["render", "-n", "shop"],
    ["status"],
    ["templates"],
    ["test"],
    ["version"],
)


def run(path: Path, command: list[str]) -> Result:
    done = CliRunner().invoke(main, [*command, "--kubeconfig", str(path)], input="")
    assert done.exit_code == 2, done.output
    assert not [word for word in PYTHONS if word in done.stderr], done.stderr
    assert "secret" not in done.output
    return done


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A server that reads a little, says `answer`, and hangs up; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    one, _ = server.accept()
                except OSError:
                    return
                with one:
                    one.settimeout(5)
                    try:
                        one.recv(65536)
                        if answer:
                            one.sendall(answer)
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def answering(status: int, message: str) -> Iterator[int]:
    """An API server that refuses everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {"kind": "Status", "message": message, "code": status, "reason": "Forbidden"}
            ).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # the command may have read enough from another answer
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_refused_connection_is_told_with_the_servers_address(command: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = run(kubeconfig(tmp_path, f"https://127.0.0.1:{port}"), command)
    assert f"https://127.0.0.1:{port} refused the connection" in done.stderr


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    done = run(kubeconfig(tmp_path, "https://api.invalid:6443"), ["status"])
    assert "https://api.invalid:6443: the name api.invalid cannot be resolved" in done.stderr


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with listening(None) as port:
        done = run(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"), ["status"])
    assert f"http://127.0.0.1:{port} closed the connection without an answer" in done.stderr


def test_a_server_that_speaks_no_tls(tmp_path: Path) -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        done = run(kubeconfig(tmp_path, f"https://127.0.0.1:{port}"), ["status"])
    assert f"https://127.0.0.1:{port} does not speak TLS" in done.stderr


def test_a_server_that_speaks_no_http(tmp_path: Path) -> None:
    with listening(b"220 mail.example.com ESMTP\r\n") as port:
        done = run(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"), ["status"])
    assert "an answer that is not HTTP" in done.stderr


def test_a_certificate_of_nobody_known(tmp_path: Path) -> None:
    with tls_server(tmp_path) as port:
        done = run(kubeconfig(tmp_path, f"https://127.0.0.1:{port}"), ["status"])
    assert f"https://127.0.0.1:{port}: its certificate is not trusted: self-signed certificate" in done.stderr


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    with tls_server(tmp_path) as port:
        path = kubeconfig(tmp_path, f"https://127.0.0.1:{port}", tmp_path / "tls.pem")
        done = run(path, ["status"])
    assert "its certificate is not trusted" in done.stderr
    assert "127.0.0.1" in done.stderr


def test_credentials_that_are_not_accepted_are_told_with_whose_they_are(tmp_path: Path) -> None:
    with answering(401, "Unauthorized") as port:
        done = run(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"), ["status"])
    assert (
        f"http://127.0.0.1:{port} does not accept the credentials of user 'ada' of context 'here'"
        in done.stderr
    )


def test_what_is_not_allowed_is_told_with_who_and_what(tmp_path: Path) -> None:
    said = 'pods is forbidden: User "ada" cannot list resource "pods" in API group "" at the cluster scope'
    with answering(403, said) as port:
        done = run(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"), ["audit"])
    assert f"does not allow it (403): {said}" in done.stderr


def test_a_kubeconfig_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = CliRunner().invoke(main, ["status"])
    assert done.exit_code == 2
    assert f"there is no kubeconfig file {tmp_path / 'missing'}" in done.stderr


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://127.0.0.1:1")
    done = CliRunner().invoke(main, ["status", "--kubeconfig", str(path), "--context", "elsewhere"])
    assert done.exit_code == 2
    assert "'elsewhere'" in done.stderr


@contextmanager
def tls_server(folder: Path) -> Iterator[int]:
    """A TLS server with a certificate of its own for example.com."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "tls.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    one, _ = server.accept()
                except OSError:
                    return
                with one:
                    try:
                        context.wrap_socket(one, server_side=True).close()
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
