"""What an attack costs another tenant: the time of its repairs and of its new namespaces, beside a quiet time.

Times are taken in turns, so that all see the same machine, and compared as ratios within one run. An attack loads
the API server as well, for which no operator can answer: where there are such, it is also compared with the same
requests on objects that mean nothing to the operator. The medians go into the table of docs/security.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import pytest

from actors import acting
from attacks.attempts import BODY, OPEN, baseline_holds, template
from attacks.conftest import Record
from attacks.scene import BASELINE, GROUP, LIMITED, Scene, scene
from client import NAMESPACES, PROFILES, TEMPLATES, Client, Refused, eventually, policies_of
from controlplane import ControlPlane
from operatorprocess import OperatorProcess

ROUNDS = 5
BOUND = 50.0
"""A median this many times the quiet one is no longer noise of a shared machine: something waits in line."""

Loop = Callable[[Client, Scene, int], object]


@dataclass(frozen=True)
class Attack:
    """`turn` is repeated for as long as the neighbour is timed; `idle` is the same where nothing is managed."""

    what: str
    actor: str
    turn: Loop
    idle: Loop | None = None
    bounded: bool = False
    """Part of `make test`."""


def open_it(by: Client, s: Scene, _: int) -> object:
    return by.merge(s.target, {"spec": OPEN})


def open_nothing(by: Client, s: Scene, n: int) -> object:
    return by.merge(f"{s.path}/mine", {"spec": OPEN, "metadata": {"annotations": {"n": str(n)}}})


def large(labels: dict[str, str]) -> Loop:
    def turn(by: Client, s: Scene, n: int) -> object:
        body = {"metadata": {"labels": labels, "annotations": {"n": str(n), "x": "x" * 200_000}}}
        return by.merge(f"{s.path}/mine", body)

    return turn


def megabyte(labels: dict[str, str]) -> Loop:
    """Another megabyte of rules each time."""
    blocks = [{"ipBlock": {"cidr": f"10.{n // 256}.{n % 256}.0/24"}} for n in range(20_000)]

    def turn(by: Client, s: Scene, n: int) -> object:
        rules = [{"from": blocks, "ports": [{"port": n % 60_000 + 1}]}]
        return by.merge(f"{s.path}/mine", {"metadata": {"labels": labels}, "spec": {"ingress": rules}})

    return turn


def relabel(by: Client, s: Scene, n: int) -> object:
    return by.merge(f"{NAMESPACES}/{s.namespace}", {"metadata": {"labels": {"n": str(n)}}})


def slow_template(by: Client, s: Scene, n: int) -> object:
    """A new form of a template each time, as costly as the language lets it be."""
    text = f"{{# {n} #}}" + "{% for i in range(9999) %}{{ '' if i * 3 > 99999 else '' }}{% endfor %}" + BODY
    return by.merge(f"{TEMPLATES}/evil", {"spec": {"template": text}})


ATTACKS = [
    Attack("a tenant opens its default deny in a tight loop", "edit", open_it, open_nothing, bounded=True),
    Attack(
        "a tenant rewrites a policy of 200 kB under the operator's label",
        "edit",
        large({f"{GROUP}/profile": BASELINE}),
        large({}),
    ),
    Attack(
        "a tenant rewrites a policy of a megabyte under the operator's label",
        "edit",
        megabyte({f"{GROUP}/profile": BASELINE}),
        megabyte({}),
    ),
    Attack("a namespace writer changes the labels of a selected namespace", "namespaces", relabel),
    Attack("a template author rewrites a costly template", "template", slow_template, bounded=True),
]


@contextmanager
def going_on(make: Callable[[], Client], stage: Scene, turn: Loop) -> Iterator[None]:
    """The loop in a thread, with a connection of its own."""
    stop = threading.Event()

    def run() -> None:
        by, n = make(), 0
        while not stop.is_set():
            n += 1
            try:
                turn(by, stage, n)
            except Refused:
                pass

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def repair(stage: Scene) -> float:
    """Seconds until a lost policy of the neighbour is back."""
    path = f"{policies_of(stage.neighbour)}/{BASELINE}.default-deny"
    uid = stage.admin.get(path)["metadata"]["uid"]
    began = time.monotonic()
    stage.admin.delete(path)
    while ((stage.admin.find(path) or {}).get("metadata") or {}).get("uid", uid) == uid:
        assert time.monotonic() - began < 60, "the neighbour's policy does not come back"
    return time.monotonic() - began


def new(stage: Scene) -> float:
    """Seconds until a new namespace has all its policies."""
    began = time.monotonic()
    fresh = stage.new_namespace({"tenancy": "shared"})
    while len(stage.baseline(fresh)) < 3:
        assert time.monotonic() - began < 60, "the new namespace does not get its policies"
    return time.monotonic() - began


@dataclass
class Times:
    """Seconds of repairs and of new namespaces."""

    repairs: list[float] = field(default_factory=list)
    news: list[float] = field(default_factory=list)

    def take(self, stage: Scene) -> None:
        self.repairs.append(repair(stage))
        self.news.append(new(stage))

    def beside(self, other: Times) -> dict[str, float]:
        """The medians as multiples of another's."""
        pairs = {"repair": (self.repairs, other.repairs), "new": (self.news, other.news)}
        return {name: round(median(one) / median(two), 1) for name, (one, two) in pairs.items()}


@pytest.mark.parametrize("guard", ["without"], indirect=True)
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=attack.what, marks=() if attack.bounded else pytest.mark.slow)
        for attack in ATTACKS
    ],
)
def test_a_neighbour_is_served_during_an_attack(
    plane: ControlPlane,
    admin: Client,
    running: OperatorProcess,
    guard: bool,
    attack: Attack,
    record: Record,
) -> None:
    stage = scene(plane, admin, running, attack.actor, guard)
    try:
        stage.prepare()
        admin.create(stage.path, {"metadata": {"name": "mine"}, "spec": {"podSelector": {}}})
        if attack.actor == "template":
            template(BODY)(stage)
        quiet, idle, busy = Times(), Times(), Times()
        for _ in range(ROUNDS):
            for turn, times in ((None, quiet), (attack.idle, idle), (attack.turn, busy)):
                if turn is None:
                    times.take(stage)
                    continue
                with going_on(lambda: acting(plane, attack.actor), stage, turn):
                    times.take(stage)
        ratios = busy.beside(quiet)
        beside_idle: dict[str, float] = {}
        if attack.idle is not None:
            beside_idle = {f"{name}_idle": ratio for name, ratio in busy.beside(idle).items()}
        record.neighbour(attack.what, ratios | beside_idle)
        assert max(ratios.values()) < BOUND
        eventually(lambda: baseline_holds(stage), within=15.0)
        assert running.alive
    finally:
        stage.clean_up()
        admin.merge(f"{PROFILES}/{LIMITED}", {"spec": {"policies": [{"template": "default-deny"}]}})
