"""The two programs of a canary, over loopback."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantprofile.canary.probe import SourcePorts, reaches
from tenantprofile.enforcement.attempts import Attempt, Lane, read_rounds

OPERATOR = Path(__file__).resolve().parents[3] / "operator"


def program(name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tenantprofile.canary.{name}", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(OPERATOR)},
    )


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
def server(port: int) -> Iterator[subprocess.Popen[str]]:
    with program("listen", "token", str(port)) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == f"listening on {port}\n"
        yield running
        running.kill()


def test_the_client_tells_round_after_round_what_it_reaches(server: subprocess.Popen[str], port: int) -> None:
    with program("probe", "--pause=0", "--timeout=0.5", "token", f"{port},1", "127.0.0.1") as client:
        assert client.stdout is not None
        rounds = read_rounds(client.stdout.readline() + client.stdout.readline())
        client.send_signal(signal.SIGTERM)
        assert client.wait(10) == 0
    assert [seen.number for seen in rounds] == [1, 2]
    assert rounds[1].open == {f"TCP/4/{port}", f"UDP/4/{port}"}


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_somebody_else_at_the_same_address_is_not_the_server(
    server: subprocess.Popen[str], port: int, protocol: str
) -> None:
    attempt = Attempt(Lane(4, "TCP" if protocol == "TCP" else "UDP"), port)
    assert reaches(attempt, "127.0.0.1", b"token", 1, SourcePorts())
    assert not reaches(attempt, "127.0.0.1", b"another", 1, SourcePorts())


def test_the_server_ends_when_it_is_told_to(server: subprocess.Popen[str]) -> None:
    server.send_signal(signal.SIGTERM)
    assert server.wait(10) == 0


def test_source_ports_do_not_come_back_soon() -> None:
    sources = SourcePorts()
    taken = [sources.take() for _ in range(20_000)]
    assert len(set(taken)) == len(taken)
