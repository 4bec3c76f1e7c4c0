"""`tenantprofile run` before it runs: what it refuses, what it says, how it logs."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tenantprofile.cli import logs
from tenantprofile.cli.main import main


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_the_current_context_is_never_used_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(config))
    done = CliRunner().invoke(main, ["run"])
    assert done.exit_code == 2
    assert "--kubeconfig FILE" in done.output


def test_a_wrong_context_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []})
    )
    done = CliRunner().invoke(main, ["run", f"--kubeconfig={config}", "--context=elsewhere"])
    assert done.exit_code == 2
    assert "elsewhere" in done.output
    assert str(config) in done.output


def test_every_flag_is_documented_and_has_an_environment_name(monkeypatch: pytest.MonkeyPatch) -> None:
    command = main.commands["run"]
    help_text = CliRunner().invoke(main, ["run", "--help"]).output
    for parameter in command.params:
        assert parameter.opts[0] in help_text
    monkeypatch.setenv("TENANTPROFILE_RUN_WORKERS", "many")
    done = CliRunner().invoke(main, ["run"])
    assert done.exit_code == 2
    assert "'many'" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_printed(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert "tenantprofile" in done.output


def record(**fields: str) -> logging.LogRecord:
    made = logging.LogRecord(
        "tenantprofile.x", logging.INFO, "f", 1, "put %s right", ('a "quoted" one',), None
    )
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def test_json_logs_carry_the_fields() -> None:
    entry = json.loads(logs.JsonFormatter().format(record(namespace="ns", policy="p", profile="t")))
    assert entry["message"] == 'put a "quoted" one right'
    assert (entry["namespace"], entry["policy"], entry["profile"], entry["level"]) == ("ns", "p", "t", "info")


def test_text_logs_carry_the_fields_and_the_exception() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        made = record(namespace="ns")
        made.exc_info = sys.exc_info()
    text = logs.TextFormatter().format(made)
    assert "namespace=ns" in text
    assert "ValueError: why" in text


@pytest.mark.parametrize("flags", [["--metrics-secure"], ["--metrics-cert=F"], ["--metrics-key=F"]])
def test_metrics_flags_that_belong_together_are_asked_for_together(flags: list[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = CliRunner().invoke(main, ["run", *(flag.replace("F", str(file)) for flag in flags)])
    assert done.exit_code == 2
    assert "--metrics-cert" in done.output
