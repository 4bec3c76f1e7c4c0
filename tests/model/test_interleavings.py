"""Right at every interleaving: see `model.machine` for what happens, `model.judge` for what must hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from model.machine import Interleavings


def run(examples: int, steps: int) -> None:
    found: Any = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Interleavings, settings=found)


def test_a_few_hundred_steps_in_every_order() -> None:
    run(60, 30)


@pytest.mark.slow
def test_many_steps_in_every_order() -> None:
    run(1000, 60)
