"""A tenant who opens the default deny in a tight loop: told while it goes on, and put right when it ends."""

from __future__ import annotations

import threading

import pytest

from actors import acting
from attacks.attempts import OPEN
from attacks.scene import BASELINE, Scene, scene
from client import PROFILES, Client, Refused, eventually
from controlplane import ControlPlane
from operatorprocess import OperatorProcess


def conditions(admin: Client) -> dict[str, dict[str, str]]:
    status = admin.get(f"{PROFILES}/{BASELINE}").get("status") or {}
    return {c["type"]: c for c in status.get("conditions") or []}


@pytest.mark.parametrize("guard", ["without"], indirect=True)
def test_a_fight_is_told_while_it_goes_on(
    plane: ControlPlane, admin: Client, running: OperatorProcess, guard: bool
) -> None:
    stage: Scene = scene(plane, admin, running, "edit", guard)
    stop = threading.Event()

    def attack() -> None:
        by = acting(plane, "edit")
        while not stop.is_set():
            try:
                by.merge(stage.target, {"spec": OPEN}, manager="kubectl-edit")
            except Refused:
                pass

    def told() -> bool:
        found = conditions(admin)
        problems = admin.get(f"{PROFILES}/{BASELINE}")["status"].get("problems") or []
        contested = [p for p in problems if p["reason"] == "Contested"]
        return (
            found["Ready"]["status"] == "False"
            and found["Degraded"]["status"] == "True"
            and any("kubectl-edit" in p["message"] for p in contested)
        )

    try:
        stage.prepare()
        thread = threading.Thread(target=attack)
        thread.start()
        try:
            eventually(told, within=30.0)
            assert thread.is_alive()
            stage.neighbour_is_served()
        finally:
            stop.set()
            thread.join()
        eventually(stage.protected, within=15.0)
        eventually(lambda: conditions(admin)["Degraded"]["status"] == "False", within=90.0)
    finally:
        stage.clean_up()
