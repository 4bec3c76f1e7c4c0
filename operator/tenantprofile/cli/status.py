"""`tenantprofile status`: the profiles of a cluster at a glance, and why a namespace is not protected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import click

from tenantprofile.analysis.protection import LEFT_OUT, Answer, answer, by_nearness, is_protected
from tenantprofile.cli import complete
from tenantprofile.cli.connection import ConnectionFailed, connected, plain
from tenantprofile.cli.exits import Exit
from tenantprofile.cli.options import (
    Wishes,
    cluster_options,
    namespace_options,
    operator_namespace_option,
    output_option,
    selector_option,
    wishes,
)
from tenantprofile.cli.output import data_text, document, paint, stop, table
from tenantprofile.cli.progress import working
from tenantprofile.names import API_VERSION
from tenantprofile.planning.profile import ProfileError, parse_profile
from tenantprofile.planning.status import condition

PROFILES: Final = f"/apis/{API_VERSION}/tenantprofiles"
TEMPLATES: Final = f"/apis/{API_VERSION}/policytemplates"
OPERATOR: Final = "tenantprofile-operator"
"""The name of the operator's Deployment and of its lease."""
LOOK: Final = 2.0
"""Seconds between two looks with --watch."""
_SKEW: Final = 5.0
"""Seconds that a lease which looks expired has to show that it is renewed: clocks differ."""

OperatorState = Literal["running", "not leading", "not running", "unknown"]
_COLOURS: Final = {
    "protected": "green",
    "running": "green",
    "waiting": "yellow",
    "suspended": "yellow",
    "unknown": "yellow",
}


@dataclass(frozen=True, slots=True)
class Operator:
    """Whether an operator writes: what its lease and its Deployment say."""

    state: OperatorState
    why: str
    next: tuple[str, ...] = ()
    holder: str = ""

    @property
    def is_at_work(self) -> bool:
        """Also where nothing is known: what cannot be seen is no reason for an alarm."""
        return self.state in ("running", "unknown")


@dataclass(slots=True)
class Found:
    """What the cluster says. answers: by namespace, when namespaces were asked about."""

    operator: Operator
    missing: list[str] = field(default_factory=list)
    """CRDs that are not installed."""
    profiles: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, list[Answer]] | None = None
    everywhere: bool = False
    """All namespaces were asked about, also those that are left out on purpose."""

    @property
    def code(self) -> Exit:
        if self.missing:
            return Exit.NOT_INSTALLED
        if not self.operator.is_at_work:
            return Exit.NOT_RUNNING
        if self.answers is None:
            return Exit.OK if self.profiles and all(map(_is_ready, self.profiles)) else Exit.NO
        open_ones = [
            found
            for found in self.answers.values()
            if not is_protected(found)
            and not (self.everywhere and found and all(one.state == "excluded" for one in found))
        ]
        if not open_ones:
            return Exit.OK
        nobody = all(one.state in LEFT_OUT for found in open_ones for one in found)
        return Exit.UNPROTECTED if nobody else Exit.NO


@click.command()
@click.argument("profile", required=False, shell_complete=complete.profiles)
@namespace_options
@click.option("-w", "--watch", is_flag=True, help="Go on, and print the answer again whenever it changes.")
@operator_namespace_option
@cluster_options
@selector_option("profiles")
@output_option("table", "wide", "json", "yaml", "name")
def status(
    profile: str | None,
    watch: bool,
    operator_namespace: str,
    kubeconfig: Path | None,
    context: str | None,
    output: str,
) -> None:
    """Show profiles at a glance, or why a namespace is not protected.

    PROFILE limits the answer to one profile. With -n NAMESPACE, each profile says whether it protects the namespace,
    what is in the way, and what to do next; the nearest profile comes first. -A does so for all namespaces. Without
    --context and --kubeconfig the cluster is that of the current context, as with kubectl; nothing is written.

    Exit code 0 when all that was asked for is ready (with -n: some profile protects the namespace and none that
    selects it fails; with -A, in every namespace but those that all profiles leave out), 1 when not, 2 when the
    cluster cannot be read, 3 when no profile selects the namespace, 4 when no operator is at work, 5 when the CRDs
    are not installed.
    """
    given = wishes()

    def look() -> Found:
        return asyncio.run(_read(kubeconfig, context, profile, given, operator_namespace))

    try:
        with working("reading the cluster"):
            found = look()
    except ConnectionFailed as error:
        stop(str(error))
    shown = _printed(found, output, given)
    click.echo(shown)
    if not watch:
        raise SystemExit(found.code)
    try:
        while True:
            time.sleep(LOOK)
            try:
                text = _printed(look(), output, given)
            except ConnectionFailed as error:
                text = f"{error}"
            if text != shown:
                click.echo(
                    f"--- {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if output in ("table", "wide") else "---"
                )
                click.echo(text)
                shown = text
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None


async def _read(
    kubeconfig: Path | None,
    context: str | None,
    profile: str | None,
    given: Wishes,
    operator_namespace: str,
) -> Found:
    """Raises ConnectionFailed."""
    from tenantprofile.cluster.api import ApiError, Gone

    async with connected(kubeconfig, context, current=True) as (api, credentials):

        async def listed(path: str) -> list[dict[str, Any]]:
            try:
                return [item async for page in api.pages(path) for item in page.items]
            except Gone as error:
                raise ConnectionFailed(f"the list of {path} expires before it ends; try again") from error

        try:
            crds = {"tenantprofiles": PROFILES, "policytemplates": TEMPLATES}
            lists: dict[str, list[dict[str, Any]] | None] = {}
            for plural, path in crds.items():
                try:
                    lists[plural] = await listed(path)
                except ApiError as error:
                    if error.status == 404:
                        lists[plural] = None
                    elif plural == "tenantprofiles" or error.status != 403:
                        raise
            found = Found(await _operator(api, operator_namespace), everywhere=given.all_namespaces)
            found.missing = [
                f"{plural}.tenantprofile.dev" for plural, items in lists.items() if items is None
            ]
            profiles = lists["tenantprofiles"] or []
            if profile is not None and not found.missing:
                profiles = [item for item in profiles if item["metadata"]["name"] == profile]
                if not profiles:
                    raise ConnectionFailed(f"TenantProfile {profile}: not found")
            found.profiles = [
                item for item in profiles if given.selector.matches(item["metadata"].get("labels") or {})
            ]
            if given.namespaces or given.all_namespaces:
                found.answers = await _answers(api, listed, found.profiles, given, operator_namespace)
        except ApiError as error:
            raise ConnectionFailed(plain(error, credentials)) from error
    return found


async def _answers(
    api: Any, listed: Any, profiles: Iterable[dict[str, Any]], given: Wishes, operator_namespace: str
) -> dict[str, list[Answer]]:
    """Every profile about every namespace that was asked about."""
    from tenantprofile.cluster.api import NAMESPACES, POLICIES, ApiError, policies_in

    policies: dict[str, list[dict[str, Any]]] = {}
    if given.all_namespaces:
        spaces = await listed(NAMESPACES)
        for policy in await listed(POLICIES):
            policies.setdefault(policy["metadata"]["namespace"], []).append(policy)
    else:
        spaces = []
        for name in given.namespaces:
            place = quote(name, safe="")
            try:
                spaces.append(await api.get(f"{NAMESPACES}/{place}"))
            except ApiError as error:
                if error.status == 404:
                    raise ConnectionFailed(f"namespace {name}: not found") from error
                raise
            policies[name] = await listed(policies_in(place))
    found: dict[str, list[Answer]] = {}
    for space in spaces:
        name = str(space["metadata"]["name"])
        labels = space["metadata"].get("labels") or {}
        answers: list[Answer] = []
        for item in profiles:
            try:
                parsed = parse_profile(item)
            except ProfileError as error:
                step = "correct the profile's spec; tenantprofile lint finds the fields"
                answers.append(
                    Answer(str(item["metadata"]["name"]), "refused", (f"InvalidSpec: {error}",), next=(step,))
                )
                continue
            now = item.get("status") or {}
            answers.append(answer(parsed, now, name, labels, policies.get(name, ()), operator_namespace))
        found[name] = by_nearness(answers)
    return found


# --- the operator ---


async def _operator(api: Any, namespace: str) -> Operator:
    """Whether an operator writes, by its lease and, where it may be read, its Deployment."""
    from tenantprofile.cluster.api import ApiError

    path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases/{OPERATOR}"

    async def lease() -> Mapping[str, Any] | None:
        try:
            return (await api.get(path)).get("spec") or {}
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    try:
        spec = await lease()
        if spec and spec.get("holderIdentity") and _age(spec) > _duration(spec):
            # The clock here may be ahead of the operator's: a renewal tells.
            before = spec.get("renewTime")
            for _ in range(int(_SKEW)):
                await asyncio.sleep(1)
                spec = await lease()
                if not spec or spec.get("renewTime") != before:
                    break
            else:
                return await _idle(api, namespace, _stale(spec))
    except ApiError as error:
        if error.status != 403:
            raise
        return Operator("unknown", f"the lease {namespace}/{OPERATOR} cannot be read (403)")
    if spec is None:
        return await _idle(api, namespace, f"nobody has ever held the lease {namespace}/{OPERATOR}")
    holder = str(spec.get("holderIdentity") or "")
    if not holder:
        return await _idle(api, namespace, f"nobody holds the lease {namespace}/{OPERATOR}")
    return Operator("running", f"{holder} holds the lease", holder=holder)


def _stale(spec: Mapping[str, Any]) -> str:
    age = _age(spec)
    since = f"for {age:.0f} s" if age != float("inf") else "since nobody knows when"
    return f"{spec.get('holderIdentity')} holds the lease and has not renewed it {since}"


def _duration(spec: Mapping[str, Any]) -> float:
    return float(spec.get("leaseDurationSeconds") or 15)


def _age(spec: Mapping[str, Any]) -> float:
    """Seconds since the lease was renewed, by the clock here; infinite where it cannot be read."""
    try:
        renewed = datetime.fromisoformat(str(spec.get("renewTime")).replace("Z", "+00:00"))
    except ValueError:
        return float("inf")
    return (datetime.now(UTC) - renewed).total_seconds()


async def _idle(api: Any, namespace: str, why: str) -> Operator:
    """Nobody renews the lease: whether there are pods that could."""
    from tenantprofile.cluster.api import ApiError

    path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/deployments/{OPERATOR}"
    try:
        deployment = await api.get(path)
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        hint = (
            f"install the operator, or name its namespace with --operator-namespace (now {namespace})"
            if error.status == 404
            else f"kubectl get pods -n {namespace}"
        )
        said = f"; there is no Deployment {namespace}/{OPERATOR}" if error.status == 404 else ""
        return Operator("not running", why + said, (hint,))
    ready = int((deployment.get("status") or {}).get("readyReplicas") or 0)
    wanted = int((deployment.get("spec") or {}).get("replicas") or 0)
    if ready:
        return Operator(
            "not leading",
            f"{ready} of {wanted} pods are ready, and {why}",
            (f"kubectl logs -n {namespace} deployment/{OPERATOR}", "tenantprofile doctor"),
        )
    if not wanted:
        return Operator(
            "not running",
            f"its Deployment is scaled to 0, and {why}",
            (f"kubectl scale -n {namespace} deployment/{OPERATOR} --replicas=1",),
        )
    return Operator(
        "not running",
        f"0 of {wanted} pods are ready, and {why}",
        (f"kubectl describe pods -n {namespace} -l app.kubernetes.io/name={OPERATOR}",),
    )


# --- output ---


def _is_ready(item: Mapping[str, Any]) -> bool:
    """Ready, and said of the profile as it is now."""
    ready = condition(item.get("status") or {}, "Ready")
    current = (item.get("status") or {}).get("observedGeneration") == item["metadata"].get("generation")
    return ready.get("status") == "True" and current


def _printed(found: Found, output: str, given: Wishes) -> str:
    if output in ("json", "yaml"):
        return data_text(_as_data(found, given), output)
    if output == "name":
        if found.answers is not None:
            return "\n".join(f"namespace/{name}" for name in found.answers)
        return "\n".join(
            f"tenantprofile.tenantprofile.dev/{item['metadata']['name']}" for item in found.profiles
        )
    lines = [f"Operator {_painted(found.operator.state)}: {found.operator.why}"]
    lines += [f"  next: {step}" for step in found.operator.next]
    lines += [
        f"CRD {name} is not installed\n  next: kubectl apply --server-side -k crds, or install the Helm chart"
        for name in found.missing
    ]
    lines.append("")
    if found.answers is None:
        lines.append(_profiles_table(found.profiles, wide=output == "wide"))
    elif given.all_namespaces:
        lines.append(_namespaces_table(found.answers, wide=output == "wide"))
    else:
        for name, answers in found.answers.items():
            lines += _about(name, answers, found.operator, wide=output == "wide")
    return "\n".join(lines).rstrip()


def _profiles_table(profiles: Iterable[Mapping[str, Any]], *, wide: bool) -> str:
    rows = []
    for item in profiles:
        now = item.get("status") or {}
        ready = condition(now, "Ready")
        row = [
            str(item["metadata"]["name"]),
            str(ready.get("status", "Unknown"))
            if _is_ready(item) or ready.get("status") != "True"
            else "Unknown",
            str((now.get("namespaces") or {}).get("summary", "-")),
            str((now.get("policies") or {}).get("ready", "-")),
        ]
        if wide:
            entries = [
                str(one.get("name") or one.get("template")) for one in item["spec"].get("policies") or ()
            ]
            row += [str((now.get("drift") or {}).get("repaired", 0)), ",".join(entries) or "-"]
        row += [
            str(ready.get("reason", "-")),
            str(ready.get("message", "the operator has not reported on it")),
        ]
        rows.append(row)
    if not rows:
        return "there is no TenantProfile in the cluster; nothing is protected\n  next: tenantprofile help render"
    more = ("repaired", "entries") if wide else ()
    return table(("name", "ready", "namespaces", "policies", *more, "reason", "message"), rows)


def _namespaces_table(answers: Mapping[str, list[Answer]], *, wide: bool) -> str:
    rows = []
    for name, found in answers.items():
        first = found[0] if found else None
        state = "protected" if is_protected(found) else _state(found)
        row = [name, state, first.profile if first else "-", first.why[0] if first and first.why else "-"]
        if wide:
            row.append(first.next[0] if first and first.next else "-")
        rows.append(row)
    header = ("namespace", "state", "profile", "why")
    return table((*header, "next") if wide else header, rows)


def _state(found: list[Answer]) -> str:
    """The worst that profiles which select the namespace say, or that none does."""
    telling = [one.state for one in found if one.state not in LEFT_OUT and one.state != "protected"]
    return telling[0] if telling else found[0].state if found else "not selected"


def _about(name: str, answers: list[Answer], operator: Operator, *, wide: bool) -> list[str]:
    selecting = [one for one in answers if one.state not in LEFT_OUT]
    if not answers:
        return [f"{name} is not protected: there is no TenantProfile in the cluster"]
    if is_protected(answers):
        kept = "" if operator.is_at_work else "; its policies stand, and nobody keeps them up"
        lines = [f"{name} is {_painted('protected')}{kept}"]
    elif selecting:
        lines = [f"{name} is {_painted('not protected')} as its profiles want it"]
    else:
        nearest = f"; nearest is {answers[0].profile}" if len(answers) > 1 else ""
        lines = [f"{name} is {_painted('not protected')}: no profile selects it{nearest}"]
    # Where profiles select the namespace, the others are no news; where none does, the nearest one is.
    shown = answers if wide else selecting or answers[:3]
    for found in shown:
        lines.append(f"  {found.profile}: {_painted(found.state)}")
        lines += [f"    why: {why}" for why in found.why]
        lines += [f"    {what}: {policy}" for policy, what in found.policies.items() if what != "present"]
        if not operator.is_at_work and found.state in ("waiting", "failing", "refused", "conflict"):
            lines.append("    why: no operator is at work, so nothing changes until one is")
        lines += [f"    next: {step}" for step in found.next]
    if left := len(answers) - len(shown):
        lines.append(f"  {left} more; -o wide shows all")
    return lines


def _painted(state: str) -> str:
    return paint(state, _COLOURS.get(state, "red"))


def _as_data(found: Found, given: Wishes) -> dict[str, Any]:
    operator = found.operator
    head: dict[str, Any] = {
        "operator": {
            "state": operator.state,
            "holder": operator.holder,
            "why": operator.why,
            "next": list(operator.next),
        },
        "missingCRDs": found.missing,
        "exitCode": int(found.code),
        "ready": found.code == Exit.OK,
    }
    if found.answers is None:
        profiles = [
            {"name": item["metadata"]["name"], "ready": _is_ready(item), "status": item.get("status") or {}}
            for item in found.profiles
        ]
        return document("ProfileStatusList", head | {"profiles": profiles})
    spaces = [
        {
            "namespace": name,
            "protected": is_protected(answers),
            "profiles": [one.as_data() for one in answers],
        }
        for name, answers in found.answers.items()
    ]
    return document("NamespaceStatusList", head | {"namespaces": spaces})
