"""The shared options mean in every command what they mean to kubectl."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from tenantprofile.cli import exits, progress
from tenantprofile.cli.main import main
from tenantprofile.cli.options import parse_label_selector
from tenantprofile.cluster.credentials import Credentials

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tenant: x}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
apiVersion: v1
kind: Pod
metadata: {name: cache, namespace: other, labels: {app: cache}}
"""
PROFILE = """
apiVersion: tenantprofile.dev/v1alpha1
kind: TenantProfile
metadata: {name: base, labels: {team: a}}
spec:
  namespaceSelector: {matchLabels: {tenant: x}}
  policies: [{template: default-deny}]
"""
HOMELESS = """
apiVersion: v1
kind: Pod
metadata: {name: lost, labels: {app: lost}}
"""
READING = [
    name
    for name, command in main.commands.items()
    if any(parameter.name == "kubeconfig" for parameter in command.params) and name != "run"
]


def run(*arguments: str, text: str = "", **environment: str) -> Result:
    done = CliRunner().invoke(main, arguments, input=text, env=environment)
    assert "this is a bug" not in done.stderr, done.stderr
    return done


def options(command: str) -> set[str]:
    return {name for parameter in main.commands[command].params for name in parameter.opts}


# --- the same in every command ---


@pytest.mark.parametrize("command", READING)
def test_a_command_that_reads_a_cluster_has_kubectls_options(command: str) -> None:
    assert {"--kubeconfig", "--context", "-o", "--output"} <= options(command)
    if command not in ("doctor", "templates", "version"):
        assert {"-n", "--namespace", "-A", "--all-namespaces"} <= options(command)
    if command not in ("doctor", "status", "version"):
        assert {"-f", "--filename"} <= options(command)


@pytest.mark.parametrize("command", sorted(main.commands))
def test_short_options_have_one_meaning(command: str) -> None:
    meanings = {
        "-n": "--namespace",
        "-A": "--all-namespaces",
        "-l": "--selector",
        "-f": "--filename",
        "-o": "--output",
        "-w": "--watch",
        "-h": "--help",
    }
    for parameter in main.commands[command].params:
        for option in parameter.opts:
            if len(option) == 2 and option.startswith("-"):
                assert meanings[option] in parameter.opts, (command, option)


def test_a_file_is_named_by_f_as_well_as_by_itself(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(SHOP)
    file = str(tmp_path / "in.yaml")
    assert run("connections", "-f", file).stdout == run("connections", file).stdout
    assert run("connections", "-f", "-", text=SHOP).stdout == run("connections", file).stdout


def test_namespace_limits_the_answer_and_houses_the_homeless() -> None:
    done = run("connections", "-n", "shop", "-o", "name", "-f", "-", text=SHOP + "---" + HOMELESS)
    assert "shop/lost" in done.stdout.splitlines()
    assert done.stderr == ""
    rows = json.loads(run("connections", "-n", "other", "-o", "json", "-", text=SHOP).stdout)["connections"]
    assert all("other/" in row["source"] + row["destination"] for row in rows)
    missing = run("audit", "-n", "shoop", "-", text=SHOP)
    assert missing.exit_code == 2
    assert "found 'shoop'; there are " in missing.stderr


def test_all_namespaces_is_the_default_and_excludes_a_namespace() -> None:
    assert run("audit", "-A", "-", text=SHOP).stdout == run("audit", "-", text=SHOP).stdout
    done = run("audit", "-A", "-n", "shop", "-", text=SHOP)
    assert done.exit_code == 2
    assert "exclude each other" in done.stderr


def test_audit_counts_what_namespace_and_selector_choose() -> None:
    def totals(*arguments: str) -> int:
        return int(
            json.loads(run("audit", *arguments, "-o", "json", "-", text=SHOP).stdout)["totals"]["pods"]
        )

    assert totals() == 3
    assert totals("-n", "shop") == 2
    assert totals("-l", "app=db") == 1
    assert totals("-l", "app in (db, cache)") == 2
    assert run("audit", "-l", "app=db", "-o", "name", "-", text=SHOP).stdout == "shop/db\n"


def test_connections_of_pods_with_labels() -> None:
    done = run("connections", "-l", "app=cache", "-o", "csv", "-", text=SHOP)
    rows = done.stdout.splitlines()[1:]
    assert rows
    assert all("other/cache" in row for row in rows)


def test_lint_keeps_to_a_namespace_and_to_labels() -> None:
    both = "".join(
        f"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: open, namespace: {space}, labels: {{in: {space}}}}}\n"
        "spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}\n"
        for space in ("shop", "other")
    )

    def found(*arguments: str) -> set[str]:
        text = run("lint", *arguments, "-o", "json", "-", text=both).stdout
        return {one["object"]["namespace"] for one in json.loads(text)["findings"]}

    assert found() == {"shop", "other"}
    assert found("-n", "shop") == {"shop"}
    assert found("-l", "in=other") == {"other"}
    assert run("lint", "-o", "name", "-", text=both).stdout == "networkpolicy.networking.k8s.io/open\n"


def test_explain_takes_names_in_a_namespace() -> None:
    short = run("explain", "web", "db", "-n", "shop", "-", text=SHOP)
    assert (short.exit_code, short.stdout) == (
        0,
        run("explain", "shop/web", "shop/db", "-", text=SHOP).stdout,
    )


def test_render_asks_namespaces_that_are_there_and_takes_names_that_are_not() -> None:
    everything = run("render", "-", "-o", "table", text=SHOP + "---" + PROFILE)
    assert "shop       base.default-deny" in everything.stdout
    assert "other" not in everything.stdout
    named = run("render", "-f", "-", "-n", "new", "-o", "name", text=PROFILE)
    assert named.stdout == "networkpolicy.networking.k8s.io/base.default-deny\n"
    labelled = run("render", "-", "-l", "tenant=y", text=SHOP + "---" + PROFILE)
    assert labelled.stdout == ""


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b,c!=d", {"a": "b", "c": "d"}, False),
        ("c!=d", {}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b)", {}, True),
        ("example.com/a", {"example.com/a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a=", {"a": ""}, True),
    ],
)
def test_selectors_are_kubectls(text: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_label_selector(text).matches(labels) == matches


@pytest.mark.parametrize("text", ["a=b,", "=b", "a in b", "a=b c=d", "!a=b", "a=b=c", "a b", "-a"])
def test_a_selector_that_kubectl_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="found"):
        parse_label_selector(text)
    assert run("audit", f"--selector={text}", "-", text=SHOP).exit_code == 2


# --- kubeconfig ---


def kubeconfig(path: Path, name: str, current: bool = True) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                **({"current-context": name} if current else {}),
                "clusters": [{"name": name, "cluster": {"server": f"http://{name}.invalid"}}],
                "users": [{"name": name, "user": {"token": name}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            }
        )
    )
    return path


def test_of_a_list_of_kubeconfig_files_the_first_current_context_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        kubeconfig(tmp_path / "0", "none", current=False),
        tmp_path / "missing",
        kubeconfig(tmp_path / "1", "one"),
        kubeconfig(tmp_path / "2", "two"),
    ]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    done = CliRunner().invoke(main, ["audit", "--context", "two"])
    assert "http://two.invalid" in done.stderr, done.stderr
    credentials = asyncio.run(Credentials.load(Path(":".join(map(str, files)))))
    assert credentials.server == "http://one.invalid"
    assert credentials.user == "user 'one' of context 'one'"


# --- colour, progress, codes, help ---


def test_colours_are_for_terminals_and_no_color_takes_them_away() -> None:
    arguments = ["test", str(Path(__file__).parents[3] / "examples")]
    assert "\x1b[" not in run(*arguments).stdout
    coloured = CliRunner().invoke(main, arguments, color=True)
    assert "\x1b[32mPASS" in coloured.stdout
    plain = CliRunner().invoke(main, arguments, color=True, env={"NO_COLOR": "1"})
    assert "\x1b[" not in plain.stdout


def test_progress_is_a_bar_where_the_end_is_known() -> None:
    assert progress.line("reading", 3, 12, 2.0) == "reading [######------------------] 3/12"
    assert progress.line("judging", 0, 0, 7.4) == "judging … 7 s"


def test_every_exit_code_has_a_meaning_and_is_printed() -> None:
    assert set(exits.MEANINGS) == set(exits.Exit)
    text = run("help", "exit-codes").stdout
    for code in exits.Exit:
        assert f"\n{int(code)} " in text


@pytest.mark.parametrize("command", sorted(name for name in main.commands if not main.commands[name].hidden))
def test_help_shows_what_the_option_shows(command: str) -> None:
    shown = run("help", command).stdout
    assert shown.splitlines()[2:] == run(command, "--help").stdout.splitlines()[2:]


def test_help_of_nothing_and_of_what_is_not_there() -> None:
    assert "Commands:" in run("help").stdout
    assert run("help", "no-such").exit_code == 2


def test_version_without_a_cluster(tmp_path: Path) -> None:
    done = run("version", KUBECONFIG=str(tmp_path / "none"))
    assert (done.exit_code, done.stdout[:8]) == (0, "Client: ")
    assert "the operator's version is unknown: there is no kubeconfig file" in done.stderr


# --- completion ---


def completed(*words: str, **environment: str) -> list[str]:
    done = run("__complete", *words, **environment)
    assert done.exit_code == 0
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def test_completion_knows_commands_templates_rules_and_topics() -> None:
    assert completed("expl") == ["explain", ":4"]
    assert completed("templates", "cidr") == ["cidr-egress", "cidr-ingress", ":4"]
    assert "needed-flow-cut" in completed("lint", "--select", "needed")
    assert "no-ports,needed-flow-cut" in completed("lint", "--select", "no-ports,needed")
    assert completed("help", "exit") == ["exit-codes", ":4"]


@pytest.mark.parametrize("command", ["lint", "audit", "render", "graph", "test"])
def test_completion_leaves_files_to_the_shell(command: str) -> None:
    assert completed(command, "exam") == [":0"]
    assert completed(command, "-f", "exam") == [":0"]


def test_completion_reads_contexts_of_all_kubeconfig_files(tmp_path: Path) -> None:
    files = [kubeconfig(tmp_path / "1", "one"), kubeconfig(tmp_path / "2", "two")]
    listed = ":".join(map(str, files))
    assert completed("audit", "--context", "", KUBECONFIG=listed) == ["one", "two", ":4"]
    assert completed("audit", "--context", "t", KUBECONFIG=listed) == ["two", ":4"]


def test_completion_of_a_cluster_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert completed("status", "-n", "", KUBECONFIG=str(tmp_path / "none")) == [":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "kubectl"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    assert "tenantprofile" in run("completion", shell).stdout


def test_no_command_takes_a_hidden_name() -> None:
    context = click.Context(main)
    assert "__complete" not in main.get_help(context)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script() -> None:
    script = (
        "source <(tenantprofile completion bash); COMP_WORDS=(tenantprofile templates cidr); COMP_CWORD=2;"
        ' _tenantprofile_completion tenantprofile; echo "${COMPREPLY[@]}"'
    )
    programs = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["cidr-egress", "cidr-ingress"], done.stderr


def test_progress_is_shown_on_a_terminal_alone() -> None:
    program = (
        "from tenantprofile.cli import progress; import time; progress.PATIENCE = 0\n"
        "with progress.working('reading', 2) as done:\n    done(); time.sleep(1)\n"
    )
    master, slave = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=slave, check=True)
    os.close(slave)
    with open(master, "rb", buffering=0) as terminal:
        shown = terminal.read(65536).decode()
    assert "reading [############------------] 1/2" in shown
    assert shown.endswith("\r\x1b[K"), "nothing stays"
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert piped.stderr == b""
