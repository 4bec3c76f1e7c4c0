"""Each alert fires on the series it is for and stays silent beside them, by Prometheus' own promtool."""

from __future__ import annotations

import copy
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import prometheus

ROOT = Path(__file__).resolve().parents[3]
GROUPS: list[Any] = yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["spec"]["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}

LEADER = 'leader_election_master_status{name="tenantprofile-operator",instance="a"}'
STANDBY = 'leader_election_master_status{name="tenantprofile-operator",instance="b"}'
LEADING = {LEADER: "1x60", STANDBY: "0x60"}
BUCKET = "tenantprofile_time_to_protected_seconds_bucket"


@dataclass(frozen=True)
class Case:
    """Series by minute in promtool's notation, and when the alert fires, with which labels."""

    alert: str
    says: str
    series: dict[str, str]
    fires: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    value: str = ""


CASES = [
    Case(
        "TenantProfileOperatorAbsent",
        "no operator is scraped, then one is",
        {'tenantprofile_build_info{instance="a"}': "_x20 1x40"},
        fires=("6m", "19m"),
        silent=("4m", "21m"),
    ),
    Case(
        "TenantProfileNoLeader",
        "both stand by, then one leads",
        {LEADER: "0x20 1x40", STANDBY: "0x60"},
        fires=("3m", "20m"),
        silent=("1m", "22m"),
    ),
    Case(
        "TenantProfileInputBlind",
        "one replica cannot follow profiles for a while",
        {
            'tenantprofile_input_blind{kind="tenantprofiles",instance="a"}': "0x5 1x10 0x40",
            'tenantprofile_input_blind{kind="namespaces",instance="a"}': "0x60",
        },
        fires=("9m", "15m"),
        silent=("5m", "7m", "17m"),
        labels={"kind": "tenantprofiles"},
    ),
    Case(
        "TenantProfileWatchStale",
        "a watch is silent, then heard of again",
        {'tenantprofile_watch_age_seconds{kind="namespaces",instance="a"}': "0+60x10 0x40"},
        fires=("7m", "10m"),
        silent=("4m", "12m"),
        labels={"kind": "namespaces"},
    ),
    Case(
        "TenantProfileComparisonLate",
        "no comparison for 40 minutes, then one",
        {'tenantprofile_last_comparison_age_seconds{instance="a"}': "0+60x40 0x19"},
        fires=("33m", "40m"),
        silent=("30m", "42m"),
    ),
    Case(
        "TenantProfileNamespacesFailing",
        "the leader counts a failing namespace",
        LEADING
        | {
            'tenantprofile_profile_namespaces{profile="p",state="failing",instance="a"}': "0x5 1x20 0x30",
            'tenantprofile_profile_namespaces{profile="q",state="failing",instance="a"}': "0x60",
        },
        fires=("17m", "25m"),
        silent=("14m", "27m"),
        labels={"profile": "p"},
    ),
    Case(
        "TenantProfileNamespacesFailing",
        "a replica that no longer leads still holds an old count",
        LEADING
        | {
            'tenantprofile_profile_namespaces{profile="p",state="failing",instance="a"}': "0x60",
            'tenantprofile_profile_namespaces{profile="p",state="failing",instance="b"}': "3x60",
        },
        silent=("30m", "59m"),
    ),
    Case(
        "TenantProfileUnprotectedNamespace",
        "a foreign policy is in the way, then renamed",
        LEADING | {'tenantprofile_profile_problems{profile="p",reason="Conflict",instance="a"}': "1x10 0x40"},
        fires=("2m", "10m"),
        silent=("0m", "12m"),
        labels={"profile": "p"},
    ),
    Case(
        "TenantProfileUnprotectedNamespace",
        "a replica that no longer leads still holds an old problem, and another reason has its own alert",
        LEADING
        | {
            'tenantprofile_profile_problems{profile="p",reason="Conflict",instance="b"}': "1x60",
            'tenantprofile_profile_problems{profile="p",reason="Contested",instance="a"}': "1x60",
        },
        silent=("30m",),
    ),
    Case(
        "TenantProfileContested",
        "somebody fights for ten minutes",
        LEADING
        | {'tenantprofile_profile_problems{profile="p",reason="Contested",instance="a"}': "0x3 1x10 0x30"},
        fires=("5m", "13m"),
        silent=("2m", "15m"),
        labels={"profile": "p"},
    ),
    Case(
        "TenantProfileContested",
        "a replica that no longer leads still holds an old fight",
        LEADING | {'tenantprofile_profile_problems{profile="p",reason="Contested",instance="b"}': "1x60"},
        silent=("30m",),
    ),
    Case(
        "TenantProfileSlowProtection",
        "every namespace takes 5 to 10 seconds",
        {
            BUCKET + '{le="5.0",instance="a"}': "0x60",
            BUCKET + '{le="10.0",instance="a"}': "0+6x30 180x29",
            BUCKET + '{le="+Inf",instance="a"}': "0+6x30 180x29",
        },
        fires=("15m", "30m"),
        silent=("5m", "45m"),
    ),
    Case(
        "TenantProfileSlowProtection",
        "no namespace is new",
        {BUCKET + '{le="5.0",instance="a"}': "0x60", BUCKET + '{le="+Inf",instance="a"}': "7x60"},
        silent=("20m", "59m"),
    ),
    Case(
        "TenantProfileWritesRefused",
        "half a write is refused each second",
        {
            'tenantprofile_refused_writes_total{code="403",reason="Forbidden",instance="a"}': "0+30x20 600x39",
            'tenantprofile_refused_writes_total{code="409",reason="Conflict",instance="a"}': "0+1x59",
        },
        fires=("15m", "20m"),
        silent=("5m", "30m"),
        labels={"code": "403", "reason": "Forbidden"},
    ),
    Case(
        "TenantProfileAuditAbsent",
        "the audit is scraped, then it is not, then it is again",
        {'tenantprofile_audit_build_info{instance="a"}': "1x10 _x29 1x20"},
        fires=("30m",),
        silent=("10m", "20m", "41m"),
    ),
    Case(
        "TenantProfileAuditAbsent",
        "it was never installed",
        {'tenantprofile_build_info{instance="a"}': "1x60"},
        silent=("30m", "59m"),
    ),
    Case(
        "TenantProfileAuditIncomplete",
        "the CRDs are away for a while",
        {'tenantprofile_audit_complete{instance="a"}': "1x5 0x20 1x30"},
        fires=("12m", "25m"),
        silent=("5m", "10m", "27m"),
    ),
    Case(
        "TenantProfileAuditLate",
        "no round ends for 45 minutes, then one does",
        {'tenantprofile_audit_report_age_seconds{instance="a"}': "0+60x45 0x14"},
        fires=("37m", "45m"),
        silent=("30m", "34m", "47m"),
    ),
    *(
        Case(
            alert,
            f"three {what} are open to all for a while",
            {
                f'tenantprofile_audit_{what}{{direction="ingress",level="open_to_all"}}': "0x5 3x25 0x30",
                f'tenantprofile_audit_{what}{{direction="ingress",level="open"}}': "0x60",
                f'tenantprofile_audit_{what}{{direction="egress",level="restricted"}}': "9x60",
            },
            fires=("22m", "30m"),
            silent=("5m", "19m", "32m"),
            labels={"direction": "ingress", "level": "open_to_all"},
            value="3",
        )
        for alert, what in (
            ("TenantProfileUncoveredPods", "pods"),
            ("TenantProfileUncoveredNamespaces", "namespaces"),
        )
    ),
    *(
        Case(
            alert,
            "two of them for a while",
            {f'tenantprofile_audit_{what}{{instance="a"}}': "0x5 2x25 0x30"},
            fires=("22m", "30m"),
            silent=("5m", "32m"),
            value="2",
        )
        for alert, what in (
            ("TenantProfileWideningPolicies", "widening_policies"),
            ("TenantProfileAssertionViolated", "violated_assertions"),
            ("TenantProfileHostNetworkPods", "host_network_pods"),
        )
    ),
]


@pytest.fixture(scope="module")
def promtool() -> str:
    try:
        return str(prometheus.resolve() / "promtool")
    except prometheus.PrometheusError as error:
        pytest.skip(f"promtool: {error}")


def expected(case: Case, rules: dict[str, Any]) -> list[Any]:
    rule = rules[case.alert]
    annotations = {
        key: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: case.labels[found[1]], text)
        for key, text in rule["annotations"].items()
    }
    annotations = {key: text.replace("{{ $value }}", case.value) for key, text in annotations.items()}
    return [{"exp_labels": rule["labels"] | case.labels, "exp_annotations": annotations}]


def judge(
    promtool: str, folder: Path, groups: list[Any], cases: list[Case]
) -> subprocess.CompletedProcess[str]:
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    tests = [
        {
            "interval": "1m",
            "name": f"{case.alert}: {case.says}",
            "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
            "alert_rule_test": [
                *(
                    {"eval_time": at, "alertname": case.alert, "exp_alerts": expected(case, RULES)}
                    for at in case.fires
                ),
                *({"eval_time": at, "alertname": case.alert, "exp_alerts": []} for at in case.silent),
            ],
        }
        for case in cases
    ]
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yaml").write_text(yaml.safe_dump(document))
    return subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.says}")
def test_an_alert_fires_and_clears(promtool: str, tmp_path: Path, case: Case) -> None:
    done = judge(promtool, tmp_path, GROUPS, [case])
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    assert {case.alert for case in CASES if case.fires and case.silent} == set(RULES)


@pytest.mark.parametrize("alert", RULES)
@pytest.mark.parametrize("expression", ["vector(1)", "vector(1) > 2"], ids=["always", "never"])
def test_these_tests_fail_for_an_alert_that_always_or_never_fires(
    promtool: str, tmp_path: Path, alert: str, expression: str
) -> None:
    groups = copy.deepcopy(GROUPS)
    for rule in (rule for group in groups for rule in group["rules"] if rule["alert"] == alert):
        rule["expr"] = expression
    done = judge(promtool, tmp_path, groups, [case for case in CASES if case.alert == alert])
    assert done.returncode == 1, done.stdout


def test_the_rules_are_accepted_by_prometheus(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": GROUPS}))
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
