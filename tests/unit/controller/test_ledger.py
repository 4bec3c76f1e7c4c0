"""What the operator has written is known after a restart, and nobody else can claim it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.cluster.api import ApiError
from tenantprofile.controller.last_good import LastGood
from tenantprofile.controller.ledger import Ledger
from tenantprofile.controller.seal import SECRET, Seal
from tenantprofile.planning.desired import DesiredPolicy


class Store:
    """ConfigMaps and Secrets of one namespace, behind the few calls that are made."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.refuses: int | None = None

    def _check(self) -> None:
        if self.refuses is not None:
            raise ApiError(self.refuses, "Refused", "no")

    async def get(self, path: str) -> dict[str, Any]:
        self._check()
        name = path.rpartition("/")[2]
        if name not in self.objects:
            raise ApiError(404, "NotFound", name)
        return self.objects[name]

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        if name in self.objects:
            raise ApiError(409, "AlreadyExists", name)
        return await self.replace(f"{path}/{name}", body)

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._check()
        self.writes += 1
        name = path.rpartition("/")[2]
        body["metadata"]["resourceVersion"] = str(self.writes)
        self.objects[name] = body
        return body


uids = st.uuids().map(str)
content = st.dictionaries(
    uids, st.dictionaries(st.sampled_from(["p.a", "p.b", "q.a"]), uids, max_size=3), max_size=20
)


def filled(store: Store, owned: dict[str, dict[str, str]]) -> Ledger:
    ledger = Ledger(store, "system")  # type: ignore[arg-type]
    for namespace, names in owned.items():
        for name, profile in names.items():
            ledger.wrote(namespace, name, profile)
    return ledger


@given(owned=content)
async def test_what_was_kept_is_known_after_a_restart(owned: dict[str, dict[str, str]]) -> None:
    store = Store()
    await filled(store, owned).flush()
    fresh = Ledger(store, "system")  # type: ignore[arg-type]
    assert await fresh.load() == any(owned.values())
    for namespace, names in owned.items():
        assert dict(fresh.owned(namespace)) == names


async def test_nothing_is_written_when_nothing_changed() -> None:
    store = Store()
    ledger = filled(store, {"0a": {"p.a": "1"}})
    await ledger.flush()
    before = store.writes
    ledger.wrote("0a", "p.a", "1")
    ledger.removed("0a", "p.b")
    ledger.forget_namespace("0b")
    await ledger.flush()
    assert store.writes == before


async def test_what_was_removed_and_namespaces_that_are_gone_are_dropped() -> None:
    store = Store()
    ledger = filled(store, {"0a": {"p.a": "1", "p.b": "1"}, "0b": {"p.a": "1"}, "1c": {"p.a": "1"}})
    ledger.removed("0a", "p.b")
    ledger.forget_namespace("0b")
    ledger.keep_only(["0a"])
    await ledger.flush()
    fresh = Ledger(store, "system")  # type: ignore[arg-type]
    await fresh.load()
    assert [dict(fresh.owned(uid)) for uid in ("0a", "0b", "1c")] == [{"p.a": "1"}, {}, {}]


async def test_what_a_deleted_profile_said_last_is_known_as_long_as_policies_of_it_are_left() -> None:
    store = Store()
    ledger = filled(store, {"0a": {"p.a": "gone"}})
    ledger.profile_gone("gone", "crd-1")
    ledger.profile_gone("without-policies", "crd-1")
    await ledger.flush()
    fresh = Ledger(store, "system")  # type: ignore[arg-type]
    await fresh.load()
    assert fresh.departed == {"gone": "Delete crd-1"}


@pytest.mark.parametrize("text", ["", "[]", '{"sets": 1}', '{"sets": [], "namespaces": {"a": 3}}', "x" * 9])
async def test_a_ledger_that_somebody_has_spoilt_is_written_anew(text: str) -> None:
    store = Store()
    await filled(store, {"0a": {"p.a": "1"}}).flush()
    store.objects["tenantprofile-ledger-0"]["data"] = {"owned": text, "departed": text}
    ledger = Ledger(store, "system")  # type: ignore[arg-type]
    assert await ledger.load()
    assert not ledger.owned("0a")


async def test_without_the_right_to_keep_it_the_operator_goes_on_and_says_so() -> None:
    store = Store()
    store.refuses = 403
    ledger = filled(store, {"0a": {"p.a": "1"}})
    await ledger.flush()
    assert ledger.problem is not None
    assert "tenantprofile-ledger" in ledger.problem
    assert not await ledger.load()
    assert dict(ledger.owned("0a")) == {"p.a": "1"}
    store.refuses = None
    await ledger.flush()
    assert ledger.problem is None
    assert store.objects


async def test_an_api_server_that_does_not_answer_is_asked_again() -> None:
    store = Store()
    store.refuses = 0
    with pytest.raises(ApiError):
        await Ledger(store, "system").load()  # type: ignore[arg-type]


async def test_a_seal_proves_one_policy_in_one_namespace_and_is_known_after_a_restart() -> None:
    store = Store()
    seal = Seal()
    await seal.load(store, "system")  # type: ignore[arg-type]
    made = seal.of("ns-1", "p.a")
    again = Seal()
    assert not again.proves("ns-1", "p.a", made)
    await again.load(store, "system")  # type: ignore[arg-type]
    assert again.proves("ns-1", "p.a", made)
    assert not again.proves("ns-2", "p.a", made)
    assert not again.proves("ns-1", "p.b", made)
    assert not again.proves("ns-1", "p.a", "")
    assert list(store.objects) == [SECRET]


async def test_without_the_right_to_secrets_a_seal_lasts_as_long_as_the_process() -> None:
    store = Store()
    store.refuses = 403
    seal = Seal()
    made = seal.of("ns-1", "p.a")
    await seal.load(store, "system")  # type: ignore[arg-type]
    assert seal.proves("ns-1", "p.a", made)


def test_the_seal_of_a_policy_with_the_mark_proves_ownership_and_the_mark() -> None:
    seal = Seal(b"k" * 32)
    plain, marked = seal.of("ns-1", "p.a"), seal.of("ns-1", "p.a", marked=True)
    assert seal.proves("ns-1", "p.a", plain)
    assert seal.proves("ns-1", "p.a", marked)
    assert seal.proves_mark("ns-1", "p.a", marked)
    for namespace, name, found in (("ns-1", "p.a", plain), ("ns-2", "p.a", marked), ("ns-1", "p.b", marked)):
        assert not seal.proves_mark(namespace, name, found)
    assert not seal.proves_mark("ns-1", "p.a", "")


def desired(name: str, size: int = 10) -> DesiredPolicy:
    profile, _, entry = name.rpartition(".")
    metadata = {"name": name, "labels": {"a": "b"}, "annotations": {"long": "x" * size}}
    owner = {"profile": profile, "profileUid": "uid-of-p", "entry": entry}
    return DesiredPolicy.from_stored({**owner, "metadata": metadata, "spec": {"podSelector": {}}})


@given(st.dictionaries(uids, st.sets(st.sampled_from(["p.a", "p.b"]), min_size=1), max_size=10))
def test_last_good_forms_are_known_after_a_restart(kept: dict[str, set[str]]) -> None:
    forms = LastGood()
    for namespace, names in kept.items():
        for name in names:
            assert forms.keep(namespace, desired(name))
            assert not forms.keep(namespace, desired(name))
    again = LastGood()
    again.load(forms.encoded(list(kept)))
    for namespace, names in kept.items():
        for name in ("p.a", "p.b"):
            expected = desired(name) if name in names else None
            assert again.get(namespace, name, "uid-of-p") == expected
            assert again.get(namespace, name, "another") is None


def test_last_good_forms_beyond_what_a_configmap_holds_are_left_out() -> None:
    forms = LastGood()
    for index in range(100):
        forms.keep(f"{index:03}", desired(f"p.{index}", size=10_000))
    text = forms.encoded(list(forms.namespaces))
    assert len(text) < 1_000_000
    again = LastGood()
    again.load(text)
    assert 30 <= len(again.namespaces) < 100
