"""Pictures of the dashboards from real data: a control plane, the operator, and a Prometheus that scrapes it.

    PYTHONPATH=dev python dev/dashboards.py            writes docs/images/dashboard-*.svg (about five minutes)

A few minutes of a busy platform are played: namespaces come, people and tools change policies, one namespace lacks
quota, one holds a foreign policy. The panels' own queries are then put to Prometheus, and their answers drawn. Neither
Grafana nor Datadog is involved; Datadog's queries are translated to PromQL first. The SVG follows the reader's light or
dark theme.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import yaml

import prometheus
from client import NAMESPACES, PROFILES, Client, policies_of
from controlplane import ControlPlane
from controlplane.process import Process, free_ports
from operatorprocess import OperatorProcess, install

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs/images"
OBSERVABILITY: Final = ROOT / "deploy/observability"
WINDOW: Final = "20s"
"""What `$__rate_interval`, and Datadog's roll-up, are here: scrapes are a second apart."""
SECONDS: Final = 180
PROFILE: Final = "baseline"

LIGHT: Final = ("#0a5bd3", "#b3541e", "#1a7f37", "#8250df", "#b3261e", "#0f7b83", "#946200", "#59636e")
DARK: Final = ("#6cb6ff", "#f0a868", "#57c26b", "#c6a3ff", "#ff8f87", "#5fd1d8", "#e3b341", "#9198a1")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression in PromQL, and how its series are called: a text with `{{label}}`."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str
    queries: tuple[Query, ...]


def grafana() -> list[Panel]:
    """The panels of Grafana's dashboard."""
    board = json.loads((OBSERVABILITY / "dashboards/operator.json").read_text())
    units = {"s": "seconds", "ops": "per second", "reqps": "per second", "short": ""}
    return [
        Panel(
            panel["title"],
            units[panel["fieldConfig"]["defaults"]["unit"]],
            tuple(
                Query(t["expr"].replace("$__rate_interval", WINDOW), t["legendFormat"])
                for t in panel["targets"]
            ),
        )
        for panel in board["panels"]
        # Those of the continuous audit, which is another process, are not in the picture.
        if not any("tenantprofile_audit_" in target["expr"] for target in panel["targets"])
    ]


def datadog() -> list[Panel]:
    """The widgets of Datadog's dashboard, their queries in PromQL."""
    board = json.loads((OBSERVABILITY / "datadog/dashboard.json").read_text())
    panels = []
    for widget in (widget["definition"] for widget in board["widgets"]):
        queries = tuple(promql(request["q"]) for request in widget["requests"])
        panels.append(Panel(widget["title"], "", queries))
    return panels


def promql(query: str) -> Query:
    """A query of Datadog's in PromQL, by the Agent's renaming backwards."""
    component = yaml.safe_load((ROOT / "deploy/components/datadog/kustomization.yaml").read_text())
    pod = yaml.safe_load(component["patches"][0]["patch"])["spec"]["template"]
    (check,) = pod["metadata"]["annotations"].values()
    (instance,) = json.loads(check)["openmetrics"]["instances"]
    raw = {name: family for entry in instance["metrics"] for family, name in entry.items()}
    labels: list[str] = []

    def one(found: re.Match[str]) -> str:
        name = found["name"].removeprefix(f"{instance['namespace']}.")
        base, _, suffix = name.partition(".")
        family = raw[base]
        if suffix == "sum":
            metric = f"{family}_sum"
        elif suffix == "count":
            metric = f"{family}_count" if family.endswith("_seconds") else f"{family}_total"
        else:
            metric = family
        labels[:] = (found["by"] or "").split(",") if found["by"] else []
        how = {"as_count": "increase", "as_rate": "rate"}.get(found["as"] or "")
        inner = f"{how}({metric}[{WINDOW}])" if how else metric
        by = f" by ({found['by']})" if found["by"] else ""
        return f"{found['aggregate']}{by} ({inner})"

    pattern = (
        r"(?P<aggregate>sum|max|min|avg):(?P<name>[\w.]+)\{[^}]*\}"
        r"(?: by \{(?P<by>[^}]*)\})?(?:\.(?P<as>\w+)\(\))?"
    )
    expression = re.sub(pattern, one, query)
    last = re.findall(r"\w+:[\w.]+?\.([a-z_]+)(?:\.count)?\{", query)[-1]
    return Query(expression, " ".join(f"{{{{{label}}}}}" for label in labels) or last.replace("_", " "))


# --- the data ---


class Prometheus:
    """One that scrapes the operator each second."""

    def __init__(self, folder: Path, scraped: int) -> None:
        job = {"job_name": "operator", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}
        every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump({"global": every, "scrape_configs": [job]}))
        (self._port,) = free_ports(1)
        self.process = Process(
            prometheus.resolve() / "prometheus",
            [
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            folder / "prometheus.log",
            folder,
        )

    def ask(self, query: Query, start: float, end: float) -> dict[str, list[tuple[float, float]]]:
        """Seconds and values by the series' name."""
        asked = urllib.parse.urlencode({"query": query.expression, "start": start, "end": end, "step": "2"})
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._port}/api/v1/query_range?{asked}", timeout=20
        ) as answer:
            found = json.load(answer)["data"]["result"]
        return {
            _name(query.legend, series["metric"]): [
                (at - start, float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf")
            ]
            for series in found
        }


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), legend)


def play(client: Client) -> None:
    """What happens on a busy platform, for SECONDS."""
    tenant = {"labels": {"tenant": "yes"}}
    client.apply(
        PROFILES,
        {
            "apiVersion": "tenantprofile.dev/v1alpha1",
            "kind": "TenantProfile",
            "metadata": {"name": PROFILE},
            "spec": {
                "namespaceSelector": {"matchLabels": tenant["labels"]},
                "policies": [{"template": "default-deny"}, {"template": "dns-egress"}],
            },
        },
        manager="platform-team",
    )
    foreign = {
        "metadata": {"name": f"{PROFILE}.default-deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    began = time.monotonic()
    number = 0
    while (now := time.monotonic() - began) < SECONDS:
        name = f"shop-{number}"
        client.create(NAMESPACES, {"metadata": {"name": name, **tenant}})
        if number == 20:
            client.create(NAMESPACES, {"metadata": {"name": "legacy"}})
            client.create(policies_of("legacy"), foreign)
            client.merge(f"{NAMESPACES}/legacy", {"metadata": tenant})
        if number == 35:
            client.create(NAMESPACES, {"metadata": {"name": "cramped"}})
            quota = {"count/networkpolicies.networking.k8s.io": "0"}
            body = {"metadata": {"name": "none"}, "spec": {"hard": quota}}
            client.create(f"{NAMESPACES}/cramped/resourcequotas", body)
            time.sleep(2)
            client.merge(f"{NAMESPACES}/cramped", {"metadata": tenant})
        if number > 3 and number % 3 == 0:
            for manager, which in (("kubectl-edit", 2), ("argocd-controller", 3)):
                path = f"{policies_of(f'shop-{number - which}')}/{PROFILE}.default-deny"
                client.merge(path, {"spec": {"egress": [{}]}}, manager=manager)
        if number > 3 and number % 10 == 0:
            client.delete(f"{policies_of(f'shop-{number - 1}')}/{PROFILE}.dns-egress")
        if number == 50:
            client.delete(f"{policies_of('legacy')}/{PROFILE}.default-deny")
        number += 1
        time.sleep(1.0 if now < SECONDS / 2 else 2.0)


# --- drawing ---

WIDTH: Final = 400
HEIGHT: Final = 130
COLUMN: Final = 480
ROW: Final = 230


def draw(title: str, panels: Sequence[tuple[Panel, Mapping[str, list[tuple[float, float]]]]]) -> str:
    """One picture of all panels, two in a row."""
    colours = "".join(f".c{n}{{stroke:{c}}}.k{n}{{fill:{c}}}" for n, c in enumerate(LIGHT))
    dark = "".join(f".c{n}{{stroke:{c}}}.k{n}{{fill:{c}}}" for n, c in enumerate(DARK))
    height = -(-len(panels) // 2) * ROW + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * COLUMN} {height}" role="img"'
        f' aria-label="{escape(title)}">',
        "<style>text{font:12px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px;fill:#59636e}"
        ".title{font-weight:600}.page{fill:#f6f8fa}.panel{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0}"
        f".line{{fill:none;stroke-width:1.6}}{colours}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.page{fill:#0d1117}"
        f".panel{{fill:#161b22;stroke:#3d444d}}.grid{{stroke:#3d444d}}{dark}}}</style>",
        f'<rect class="page" width="{2 * COLUMN}" height="{height}"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
    ]
    for index, (panel, series) in enumerate(panels):
        left, top = index % 2 * COLUMN, 40 + index // 2 * ROW
        parts.append(f'<g transform="translate({left} {top})">{"".join(_panel(panel, series))}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, series: Mapping[str, list[tuple[float, float]]]) -> Iterator[str]:
    yield f'<rect class="panel" x="8" y="0" width="{COLUMN - 16}" height="{ROW - 12}" rx="4"/>'
    unit = f" ({panel.unit})" if panel.unit else ""
    yield f'<text class="title" x="20" y="20">{escape(panel.title + unit)}</text>'
    values = [value for points in series.values() for _, value in points]
    top = _ceiling(max(values, default=1.0))
    left, base = 56, 36 + HEIGHT
    for step in range(3):
        y = base - HEIGHT * step / 2
        yield f'<line class="grid" x1="{left}" y1="{y:g}" x2="{left + WIDTH}" y2="{y:g}"/>'
        yield f'<text class="small" x="{left - 6}" y="{y + 4:g}" text-anchor="end">{top * step / 2:g}</text>'
    for minute in range(SECONDS // 60 + 1):
        x = left + minute * 60 / SECONDS * WIDTH
        yield f'<text class="small" x="{x:g}" y="{base + 16}" text-anchor="middle">{minute} min</text>'
    if not values:
        yield f'<text class="small" x="{left + 8}" y="{base - 8}">no data</text>'
    at = float(left)
    for number, (name, points) in enumerate(sorted(series.items())):
        colour = number % len(LIGHT)
        path = " ".join(
            f"{left + min(x / SECONDS, 1) * WIDTH:.1f},{base - y / top * HEIGHT:.1f}" for x, y in points
        )
        yield f'<polyline class="line c{colour}" points="{path}"/>'
        if at + 7 * len(name) > COLUMN - 20:
            continue  # no room: the line is drawn all the same
        yield f'<rect class="k{colour}" x="{at:g}" y="{base + 27}" width="10" height="10" rx="2"/>'
        yield f'<text class="small" x="{at + 14:g}" y="{base + 36}">{escape(name)}</text>'
        at += 24 + 6.4 * len(name)


def _ceiling(value: float) -> float:
    """The next round number."""
    power = 1e-6
    while power * 10 < value:
        power *= 10
    return (
        next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if step * power >= value) if value > 0 else 1.0
    )


def main() -> None:
    """Play, ask and draw."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as scratch, ControlPlane() as cluster:
        install(cluster)
        watching = Prometheus(Path(scratch), port)
        watching.process.start()
        try:
            with OperatorProcess(cluster, f"--metrics-port={port}", "--comparison-interval=60"):
                client = Client(cluster.admin_kubeconfig)
                time.sleep(3)
                start = time.time()
                play(client)
                client.close()
                for name, title, panels in (
                    ("grafana", "TenantProfile operator: the panels of the Grafana dashboard", grafana()),
                    ("datadog", "TenantProfile operator: the widgets of the Datadog dashboard", datadog()),
                ):
                    answers = []
                    for panel in panels:
                        series: dict[str, list[tuple[float, float]]] = {}
                        for query in panel.queries:
                            series |= watching.ask(query, start, start + SECONDS)
                        answers.append((panel, series))
                        print(f"{name}: {panel.title}: {', '.join(sorted(series)) or 'no data'}")
                    (IMAGES / f"dashboard-{name}.svg").write_text(draw(title, answers), encoding="utf-8")
        finally:
            watching.process.stop()


if __name__ == "__main__":
    main()
