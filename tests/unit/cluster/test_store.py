"""The newest version wins, in whatever order answers, events and lists arrive."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.cluster.store import Store

KEY = ("a", "d")


def obj(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def store() -> Store[str]:
    return Store(lambda raw: f"{raw['metadata']['uid']}@{raw['metadata']['resourceVersion']}")


def test_the_answer_to_a_write_does_not_bring_back_what_was_deleted_meanwhile() -> None:
    known = store()
    with known.writing(KEY):
        known.put(KEY, 11, "ours")
        assert known.remove(KEY, 12) == "ours"
        assert known.written(KEY, obj("ours", 11)) is None
        assert known.get("d", "a") is None
    assert known.put(KEY, 13, "another's")


def test_a_late_answer_does_not_replace_a_newer_object_with_another_uid() -> None:
    known = store()
    with known.writing(KEY):
        known.put(KEY, 9, "A")
        known.remove(KEY, 11)
        known.put(KEY, 12, "B")
        assert known.written(KEY, obj("A", 10)) is None
    assert known.get("d", "a") == "B"


def test_what_is_deleted_while_a_list_is_read_stays_deleted() -> None:
    known = store()
    known.put(KEY, 5, "A")
    known.begin_list()
    known.remove(KEY, 8)
    assert not known.put(KEY, 5, "A")
    assert known.end_list({KEY}, 7) == []
    assert (len(known), known.namespaces()) == (0, [])


def test_a_list_drops_what_it_lacks_but_not_what_is_newer_than_it() -> None:
    known = store()
    known.put(("a", "old"), 5, "old")
    known.put(("a", "new"), 9, "new")
    known.begin_list()
    assert known.end_list(set(), 7) == [(("a", "old"), "old")]
    assert known.names("a") == ["new"]


def test_a_list_that_was_not_read_to_its_end_drops_nothing() -> None:
    known = store()
    known.put(KEY, 5, "A")
    known.begin_list()
    assert known.end_list(None) == []
    assert known.get("d", "a") == "A"


def test_nothing_is_left_of_what_is_gone() -> None:
    known = store()
    for version in range(1, 100, 2):
        with known.writing(("gone", "x")):
            known.put(("gone", "x"), version, "x")
            known.remove(("gone", "x"), version + 1)
    assert (known.namespaces(), len(known), known._deleted, known._writes, known._versions) == (
        [],
        0,
        {},
        {},
        {},
    )


STEPS = ("write", "rival-delete", "rival-edit", "rival-create", "event", "event", "answer", "list")


@given(st.lists(st.sampled_from(STEPS), max_size=25), st.randoms(use_true_random=False))
def test_when_everything_has_arrived_the_store_is_what_the_server_holds(
    steps: list[str], random: Any
) -> None:
    known = store()
    server: tuple[str, int] | None = None
    version = 0
    events: list[tuple[str, str, int]] = []
    written: tuple[str, int] | None = None
    writing = known.writing(KEY)

    def deliver() -> None:
        kind, uid, at = events.pop(0)
        if kind == "DELETED":
            known.remove(KEY, at)
        else:
            known.put(KEY, at, f"{uid}@{at}")

    def take_answer() -> None:
        nonlocal written
        assert written is not None
        known.written(KEY, obj(*written))
        writing.__exit__(None, None, None)
        written = None

    for step in steps:
        if step == "write" and written is None:
            version += 1
            server = written = (server[0] if server else f"u{version}", version)
            events.append(("SEEN", *server))
            writing = known.writing(KEY)
            writing.__enter__()
        elif step == "rival-delete" and server:
            version += 1
            events.append(("DELETED", server[0], version))
            server = None
        elif (step == "rival-edit" and server) or (step == "rival-create" and not server):
            version += 1
            server = (server[0] if server else f"r{version}", version)
            events.append(("SEEN", *server))
        elif step == "event" and events:
            deliver()
        elif step == "answer" and written:
            take_answer()
        elif step == "list":
            # Read at this version; while it is on its way, a few events arrive.
            listed, at = server, version
            known.begin_list()
            for _ in range(random.randint(0, 2)):
                if events:
                    deliver()
            if listed:
                known.put(KEY, listed[1], f"{listed[0]}@{listed[1]}")
            known.end_list({KEY} if listed else set(), at)
    while events or written:
        if written and (not events or random.random() < 0.5):
            take_answer()
        else:
            deliver()
    assert known.get("d", "a") == (f"{server[0]}@{server[1]}" if server else None)
