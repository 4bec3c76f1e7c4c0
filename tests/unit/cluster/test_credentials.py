"""How credentials are renewed when the API server does not accept them any more."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from controlplane.kubeconfig import document, write
from tenantprofile.cluster.credentials import Credentials, CredentialsError


def kubeconfig(folder: Path, plugin: str) -> Path:
    """A kubeconfig whose user runs a shell command for its token."""
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", plugin]}
    content = document({"server": "http://127.0.0.1:1"}, "it", {"exec": command})
    return write(folder / "kubeconfig", content)


def counting(runs: Path) -> str:
    """A plugin that writes a line each time, and whose token tells how many there are."""
    file = shlex.quote(str(runs))
    status = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
    )
    return f"echo run >> {file}; printf '{status}' run-$(grep -c . {file})"


async def test_many_refusals_at_once_run_the_plugin_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    credentials = await Credentials.load(kubeconfig(tmp_path, counting(runs)))
    assert await credentials.authorization() == "Bearer run-1"
    await asyncio.gather(*(credentials.renew() for _ in range(36)))
    assert await credentials.authorization() == "Bearer run-2"
    await credentials.renew()
    assert runs.read_text().splitlines() == ["run"] * 3


async def test_one_who_stops_waiting_does_not_stop_the_others(tmp_path: Path) -> None:
    credentials = await Credentials.load(kubeconfig(tmp_path, counting(tmp_path / "runs")))
    impatient, patient = (asyncio.create_task(credentials.renew()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert await credentials.authorization() == "Bearer run-2"


async def test_a_plugin_that_fails_leaves_the_old_credentials(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    credentials = await Credentials.load(kubeconfig(tmp_path, counting(runs)))
    kubeconfig(tmp_path, "exit 1")
    await credentials.renew()
    assert await credentials.authorization() == "Bearer run-1"


async def test_a_plugin_that_fails_at_the_start_is_an_error(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "exit 1")
    with pytest.raises(CredentialsError, match=f"{path}: sh gave no credentials"):
        await Credentials.load(path)
