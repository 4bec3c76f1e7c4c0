"""The exit codes of every command, in one table: what `tenantprofile help exit-codes` and the reference print."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """How a command ends; scripts may rely on the numbers."""

    OK = 0
    NO = 1
    UNANSWERED = 2
    UNPROTECTED = 3
    NOT_RUNNING = 4
    NOT_INSTALLED = 5
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Meaning:
    """A code in words, and which commands end with it; no name stands for all of them."""

    text: str
    commands: tuple[str, ...] = ()


MEANINGS: Final = {
    Exit.OK: Meaning("All is well, or there is an answer and it needs no action."),
    Exit.NO: Meaning(
        "There is an answer, and it needs action: findings, a difference, something unprotected, cut, refused or not"
        " ready."
    ),
    Exit.UNANSWERED: Meaning(
        "There is no answer: wrong arguments, input or a cluster that cannot be read, or an assertion that cannot be"
        " decided."
    ),
    Exit.UNPROTECTED: Meaning(
        "No profile selects the namespace, or all that could leave it out.", ("status",)
    ),
    Exit.NOT_RUNNING: Meaning("No operator is running, or none leads: nothing is kept up.", ("status",)),
    Exit.NOT_INSTALLED: Meaning("The CRDs are not installed in the cluster.", ("status",)),
    Exit.INTERRUPTED: Meaning("Interrupted by Ctrl-C (128 + SIGINT)."),
    Exit.TERMINATED: Meaning("Ended by SIGTERM (128 + 15).", ("doctor",)),
}
"""Every code with its meaning."""


def rows() -> list[tuple[str, str, str]]:
    """The table: code, commands, meaning."""
    return [
        (str(int(code)), ", ".join(meaning.commands) or "all", meaning.text)
        for code, meaning in MEANINGS.items()
    ]
