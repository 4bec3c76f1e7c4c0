"""Every kind of trouble, on a real control plane, with the referee as the witness.

Each test is one campaign: tenants and platform team are at work, faults come, and then everything has
to be as desired within one interval of the full comparison, without one moment in which a policy was
missing or wider than anybody wanted, and without one write in the quiet afterwards.
"""

from __future__ import annotations

import sys
import time

import pytest

from chaos.campaign import SHIFTED_CLOCK, Campaign
from chaos.conftest import FULL, scale
from client import eventually
from faultproxy import Fault

pytestmark = pytest.mark.timeout(900)
only_in_full = pytest.mark.skipif(
    not FULL, reason="takes long; part of the full run (TENANTPROFILE_CHAOS=full)"
)

WRITES = frozenset({"write"})
READS = frozenset({"read"})
WATCHES = frozenset({"watch"})
ALL = WRITES | READS | WATCHES
QUIET = 7.0 if FULL else 1.0
A_MINUTE = 57.0 if FULL else 1.0
"""With the three seconds of settling before it, in the full run."""


def test_operator_killed_at_random_points(campaign: Campaign) -> None:
    operator = campaign.operator()
    with campaign.life(pause=0.1):
        for _ in range(scale(6, 100)):
            # From in the middle of the imports to well into the work.
            campaign.wait(0.3, scale(2, 3))
            operator.kill(down=campaign.random.choice([0.0, 0.0, 0.3]))
            campaign.faults["operator killed (SIGKILL)"] += 1
    campaign.reckon(quiet=A_MINUTE)


def test_api_server_stopped_and_restarted(campaign: Campaign) -> None:
    campaign.operator()
    with campaign.life(pause=0.1):
        for index in range(scale(1, 30)):
            campaign.wait(0.5, 2.0)
            kill = index % 2 == 0
            campaign.cp.restart("kube-apiserver", kill=kill)
            campaign.faults[f"API server {'killed' if kill else 'stopped'} and restarted"] += 1
    campaign.reckon(quiet=QUIET)


@only_in_full
def test_api_server_away_for_long(campaign: Campaign) -> None:
    campaign.operator()
    campaign.wait(0.5, 1.0)
    campaign.cp.kill("kube-apiserver")
    time.sleep(45)
    campaign.cp.start("kube-apiserver")
    campaign.faults["API server away for long"] += 1
    # What is new just afterwards is open until the operator is back.
    began = time.monotonic()
    name = campaign.estate.create_namespace()
    wanted = {item.name for item in campaign.estate.desired(name)}
    eventually(lambda: wanted <= campaign.names(name), within=30)
    campaign.report.notes["new namespace protected after the outage, s"] = round(time.monotonic() - began, 2)
    campaign.reckon()


def test_watches_cut(campaign: Campaign) -> None:
    proxy = campaign.proxy()
    campaign.operator(proxy=proxy)
    with campaign.life(pause=0.1):
        for _ in range(scale(14, 210)):
            campaign.wait(0.02, 0.5)
            how = campaign.random.choice(["end", "break", "break", "expire", "silent"])
            if how == "silent":
                proxy.hold_watches()
                campaign.wait(0.1, 1.5)
                if campaign.random.random() < 0.5:
                    proxy.end_watches("break")
                proxy.release_watches()
            else:
                proxy.end_watches(how, campaign.random.choice([0.3, 1.0]))  # type: ignore[arg-type]
            campaign.faults[
                {
                    "end": "watches ended by the server",
                    "break": "watches broken",
                    "expire": "watches answered 410",
                    "silent": "watches fell silent",
                }[how]
            ] += 1
    campaign.reckon(quiet=QUIET)


def test_history_compacted_away(campaign: Campaign) -> None:
    proxy = campaign.proxy()
    campaign.operator(proxy=proxy)
    unreachable = Fault("watches refused", on=WATCHES, breaks="before")
    with campaign.life(pause=0.05):
        for _ in range(scale(1, 10)):
            campaign.wait(0.5, 1.5)
            with proxy.trouble(unreachable):
                # Watches stay behind while the world goes on, and then their place in history is gone.
                proxy.end_watches("break")
                campaign.wait(0.5, 1.0)
                campaign.compact()
                campaign.cp.restart("kube-apiserver", kill=True)
            campaign.faults["history compacted, API server restarted"] += 1
            campaign.wait(0.5, 1.5)
    report = campaign.reckon(quiet=QUIET)
    gone = sum(n for what, n in report.api_server_said.items() if what.startswith("410"))
    assert gone >= scale(1, 10), f"the API server's own 410s: {report.api_server_said}"


REFUSALS = (
    Fault("429 with Retry-After", on=WRITES, answer=429, retry_after="1", share=0.3),
    Fault("429 on every request", on=ALL, answer=429, retry_after="1", share=0.5),
    Fault("429 without Retry-After", on=WRITES, answer=429, share=0.5),
    Fault("500 on writes", on=WRITES, answer=500, share=0.5),
    Fault("500 on everything", on=ALL, answer=500, share=0.3),
    Fault("503 on everything", on=ALL, answer=503, retry_after="1", share=0.5),
    Fault("504 on writes", on=WRITES, answer=504, share=0.5),
    Fault("connection broken before the request", on=ALL, breaks="before", share=0.3),
    Fault("connection broken after the write took effect", on=WRITES, breaks="after", share=0.5),
    Fault("answer cut in the middle", on=ALL, breaks="within", share=0.3),
)


def test_refused_and_broken_requests(campaign: Campaign) -> None:
    proxy = campaign.proxy()
    campaign.operator(proxy=proxy)
    with campaign.life(pause=0.06):
        for index in range(scale(12, 330)):
            fault = REFUSALS[index % len(REFUSALS)]
            if index >= len(REFUSALS):
                fault = campaign.random.choice(REFUSALS)
            with proxy.trouble(fault):
                if campaign.random.random() < 0.3:
                    proxy.end_watches("break", 0.5)
                campaign.wait(0.1, 0.4)
            campaign.faults[fault.name] += 1
            campaign.wait(0.0, 0.3)
    campaign.reckon(quiet=QUIET)


@only_in_full
def test_long_retry_after(campaign: Campaign) -> None:
    """An overloaded server asks for half a minute; the operator obeys, and stays the one that leads."""
    proxy = campaign.proxy()
    operator = campaign.operator(proxy=proxy)
    asked = Fault(
        "429 with a long Retry-After", on=WRITES, path="networkpolicies", answer=429, retry_after="14"
    )
    for _ in range(2):
        with proxy.trouble(asked):
            campaign.estate.change_profile()
            campaign.estate.create_namespace()
            eventually(lambda: proxy.hits[asked.name] > 0)
            campaign.faults[asked.name] += 1
        time.sleep(15)
    campaign.reckon()
    assert "the lease is lost" not in operator.process.log(), "it held back the renewal as well"


@only_in_full
def test_slow_answers(campaign: Campaign) -> None:
    proxy = campaign.proxy()
    campaign.operator(proxy=proxy)
    slow = (
        Fault("slow writes", on=WRITES, delay=3.0),
        Fault("slow reads", on=READS | WATCHES, delay=3.0),
        Fault("everything slow", on=ALL, delay=1.0),
    )
    with campaign.life(pause=0.15):
        for index in range(40):
            fault = slow[index % len(slow)]
            with proxy.trouble(fault):
                if index % 2:
                    proxy.end_watches("break", 0.5)
                campaign.wait(0.8, 2.5)
            campaign.faults[fault.name] += 1
    campaign.reckon(quiet=QUIET)


def test_etcd_slow_stopped_and_compacted(campaign: Campaign) -> None:
    campaign.operator()
    with campaign.life(pause=0.1):
        for index in range(scale(2, 40)):
            campaign.wait(0.3, 1.0)
            what = ("frozen", "killed", "compacted", "frozen")[index % 4]
            if what == "frozen":
                campaign.freeze(campaign.cp.pid("etcd"), campaign.random.uniform(0.5, 4.0))
            elif what == "killed":
                campaign.cp.kill("etcd")
                campaign.wait(0.2, 2.0)
                campaign.cp.start("etcd")
            else:
                campaign.compact()
            campaign.faults[f"etcd {what}"] += 1
    campaign.cp.wait_ready()
    campaign.reckon(quiet=QUIET)


def test_clock_jumps(campaign: Campaign) -> None:
    offset = campaign.cp.directory / "clock-offset"
    offset.write_text("0")
    operator = campaign.operator(program=(sys.executable, str(SHIFTED_CLOCK), str(offset)))
    day = 86400.0
    jumps = (3600.0, -3600.0, 30 * day, -30 * day, 10 * 365 * day, -10 * 365 * day, 0.5, -45.0)
    with campaign.life(pause=0.1):
        for index in range(scale(8, 100)):
            campaign.wait(0.1, 0.6)
            offset.write_text(str(jumps[index % len(jumps)] if index % 3 else 0.0))
            campaign.faults["wall clock stepped"] += 1
            if index % 10 == 9:
                # A machine that sleeps, or a hypervisor that gives no time: all clocks go on without us.
                campaign.freeze(operator.process.pid, campaign.random.uniform(0.5, 3.0))
                campaign.faults["operator frozen (SIGSTOP)"] += 1
    offset.write_text("0")
    campaign.reckon(quiet=QUIET)


def test_namespaces_in_a_frenzy(campaign: Campaign) -> None:
    campaign.operator()
    estate = campaign.estate
    reborn = [f"{estate.tag}-again-{i}" for i in range(scale(4, 12))]
    for _ in range(scale(1, 6)):
        # The same names, over and over: what was known of the former namespace must not count for the new.
        for name in reborn:
            estate.create_namespace(name)
        for _ in range(scale(5, 10)):
            estate.create_namespace()
        campaign.wait(0.0, 0.5)
        for name in campaign.random.sample(
            sorted(set(estate.namespaces) - set(estate.foreign)), scale(5, 10)
        ):
            estate.delete_namespace(name)
        for name in reborn:
            if name in estate.namespaces:
                estate.delete_namespace(name)
        campaign.faults["wave of namespaces made and deleted"] += 1
        campaign.faults["namespaces made or deleted"] += 2 * len(reborn) + 2 * scale(5, 10)
        estate.change_profile()
    for name in reborn:
        estate.create_namespace(name)
    campaign.reckon(quiet=QUIET)


def test_two_operators_that_both_write(campaign: Campaign) -> None:
    """A mistake: two releases in one cluster, both with --no-leader-elect. They may waste, not harm."""
    proxy = campaign.proxy()
    campaign.operator("--no-leader-elect")
    second = campaign.operator("--no-leader-elect", proxy=proxy)
    with campaign.life(pause=0.1):
        for index in range(scale(3, 80)):
            campaign.wait(0.2, 1.0)
            if index % 3 == 0:
                # The one is behind the other: it sees the other's policies before it hears of the profile.
                proxy.hold_watches()
                campaign.wait(0.5, 1.5)
                proxy.release_watches()
                campaign.faults["one of two writers fell behind"] += 1
            elif index % 3 == 1:
                proxy.end_watches("break")
                campaign.faults["one of two writers lost its watches"] += 1
            else:
                second.kill()
                campaign.faults["one of two writers killed"] += 1
    campaign.reckon(quiet=A_MINUTE, may_go_back=True)


def test_a_writer_that_is_behind_removes_nothing(campaign: Campaign) -> None:
    """It has not heard of the profile's newest form, and sees policies that the form it knows does not name."""
    proxy = campaign.proxy()
    campaign.operator("--no-leader-elect")
    campaign.operator("--no-leader-elect", proxy=proxy)
    campaign.converge(30)
    deaf = Fault("one writer hears nothing of profiles", on=WATCHES, path="tenantprofiles", breaks="before")
    for _ in range(scale(1, 5)):
        with proxy.trouble(deaf):
            proxy.end_watches("break", 1.0)
            campaign.wait(0.3, 0.5)
            campaign.estate.add_entry()
            campaign.wait(2.0, 3.0)
            campaign.faults[deaf.name] += 1
    campaign.reckon(may_go_back=True)


def test_two_operators_with_leader_election(campaign: Campaign) -> None:
    both = [campaign.operator(), campaign.operator()]
    with campaign.life(pause=0.15):
        for index in range(scale(1, 9)):
            campaign.wait(1.0, 3.0)
            leader = campaign.leader(both)
            what = ("stopped", "frozen", "killed")[index % 3]
            if what == "frozen":
                # Longer than the lease: the other takes over, and this one wakes up believing it leads.
                campaign.freeze(leader.process.pid, 19.0)
            elif what == "killed":
                leader.kill(down=17.0)
            else:
                leader.stop()
                campaign.wait(3.0, 5.0)
                leader.start_again()
            campaign.faults[f"leader {what}"] += 1
    campaign.reckon(quiet=QUIET)


@pytest.mark.parametrize("seconds", [0.3] if not FULL else [0.02, 0.05, 0.1, 0.3, 0.7, 1.5, 4.0])
def test_late_answers(campaign: Campaign, seconds: float) -> None:
    """Watch events overtake the answers, while tenants delete and edit what was just written."""
    proxy = campaign.proxy()
    campaign.operator(proxy=proxy)
    with campaign.life(pause=0.05):
        for method in ("POST", "PUT", "DELETE", "") * scale(1, 5):
            late = Fault(
                f"answers {seconds} s late", path="/networkpolicies", method=method, answer_delay=seconds
            )
            with proxy.trouble(late):
                campaign.wait(0.8, 1.5)
            campaign.faults[late.name] += 1
    campaign.reckon(quiet=QUIET)


def test_webhooks_that_hang_and_refuse(campaign: Campaign) -> None:
    """Now for all tenants, now for some, so that there are some whose work must go on."""
    campaign.operator()
    with campaign.life(pause=0.1):
        for index in range(scale(4, 40)):
            hangs = index % 2 == 0
            with campaign.webhook(hangs=hangs, seconds=campaign.random.choice([1, 2, 5])):
                campaign.wait(1.0, 3.0)
            campaign.faults["webhook hangs" if hangs else "webhook refuses"] += 1
            campaign.wait(0.3, 1.0)
    campaign.reckon(quiet=QUIET)


def test_kinds_taken_away(campaign: Campaign) -> None:
    """The CRDs are deleted, and come back with other uids, with the operator awake, down, or killed meanwhile."""
    operator = campaign.operator()
    campaign.converge(30)
    for index in range(scale(2, 12)):
        with campaign.no_kinds():
            for _ in range(4):
                campaign.estate.tamper()
            if index % 3 == 1:
                operator.kill(down=1.0)
            campaign.wait(0.5, 3.0)
        campaign.faults["CRDs deleted and put back"] += 1
        campaign.wait(0.5, 2.0)
    campaign.reckon(quiet=QUIET)


def test_credentials_rotated(campaign: Campaign) -> None:
    """The token that it uses ends, and another one stands in its kubeconfig a moment later."""
    campaign.operator()
    with campaign.life(pause=0.1):
        for _ in range(scale(3, 30)):
            campaign.wait(0.3, 1.5)
            campaign.rotate_account(campaign.random.uniform(0.0, 2.0))
            campaign.faults["token ended, another one written"] += 1
    campaign.reckon(quiet=QUIET)


def test_profiles_deleted_and_made_again(campaign: Campaign) -> None:
    """By every propagation policy; with `Orphan` their policies stay in force meanwhile.

    No namespace is released meanwhile: what an orphaning deletion left there would rightly stay.
    """
    campaign.operator()
    with campaign.life(pause=0.2, profiles=False, namespaces=False):
        for index in range(scale(6, 45)):
            how = ("Background", "Foreground", "Orphan")[index % 3]
            profile = campaign.random.choice(["guard", "named"])
            campaign.estate.delete_profile(profile, how)
            campaign.faults[f"profile deleted: {how}"] += 1
            campaign.wait(0.3, 1.5)
            campaign.estate.make_profile(profile)
            campaign.wait(0.3, 1.5)
    campaign.reckon(quiet=QUIET)
