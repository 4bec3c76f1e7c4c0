"""Bytes that others have written: a value comes of them, or a value that says why not."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenantprofile.cluster import decode
from tenantprofile.cluster.decode import Undecodable

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=20,
)
DEEP = b'{"f:\\"x]":' * 1100 + b"{}" + b"}" * 1100


def object_with(managed: bytes, **fields: Any) -> bytes:
    body = json.dumps({"spec": {"a": [1, {"b": 'x"}]'}]}, **fields}).encode()
    return b'{"metadata":{"managedFields":[{"fieldsV1":%s}],"name":"n","namespace":"a"},%s' % (
        managed,
        body[1:],
    )


def test_managed_fields_of_any_depth_do_not_matter() -> None:
    found = decode.single(object_with(DEEP))
    assert found == {"metadata": {"name": "n", "namespace": "a"}, "spec": {"a": [1, {"b": 'x"}]'}]}}


def test_one_object_of_a_page_costs_only_itself() -> None:
    worse = b'{"metadata":{"name":"worse","uid":"u","resourceVersion":"7"},"spec":%s}' % DEEP
    raw = b'{"metadata":{"resourceVersion":"9","continue":"t"},"items":[%s,%s,%s]}' % (
        object_with(b"{}"),
        worse,
        object_with(DEEP),
    )
    page = decode.page(raw)
    assert [item["metadata"]["name"] for item in page.items] == ["n", "n"]
    assert (page.resource_version, page.next) == ("9", "t")
    assert [(bad.name, bad.uid, bad.resource_version) for bad in page.undecodable] == [("worse", "u", "7")]
    assert "depth" in page.undecodable[0].reason or "recursion" in page.undecodable[0].reason


def test_an_event_keeps_its_type() -> None:
    kind, found = decode.event(b'{"type":"ADDED","object":%s}' % object_with(DEEP))
    assert kind == "ADDED"
    assert isinstance(found, dict)


@given(json_values)
@example({"metadata": {"managedFields": [{"fieldsV1": {"a": "}]"}}], "name": "x"}, "a": '\\"'})
def test_the_scanner_reads_what_a_parser_reads(value: Any) -> None:
    for indent in (None, 1):
        raw = json.dumps(
            {"x": value, "metadata": {"managedFields": value, "name": "n"}}, indent=indent
        ).encode()
        parsed = orjson.loads(raw)
        del parsed["metadata"]["managedFields"]
        assert orjson.loads(decode.without_managed_fields(raw)) == parsed
        spans = [(name, orjson.loads(member)) for name, member in decode._members(raw)]
        assert dict(spans) == orjson.loads(raw)
        array = json.dumps([value, value], indent=indent).encode()
        assert [orjson.loads(array[a:b]) for a, b in decode._elements(array)] == orjson.loads(array)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ametdai', max_size=60).map(str.encode))
@example(b"[" * 5000)
@example(b"{" * 5000)
@example(b'{"a":' * 3000)
@example(b'{"type":"ADDED","object":' + b"[" * 3000)
@example(b'{"metadata":7,"items":8}')
@example(b'{"items":[1,2]}')
@example(b'"' * 4999)
def test_no_bytes_are_the_end(raw: bytes) -> None:
    found = decode.single(raw)
    assert isinstance(found, (dict, Undecodable))
    for read in (decode.page, decode.event):
        try:
            read(raw)
        except ValueError:
            pass


@given(json_values, st.integers(0, 6))
def test_nesting_is_counted_as_a_recursive_count_would(value: Any, limit: int) -> None:
    def depth(found: Any) -> int:
        if not isinstance(found, (dict, list)):
            return 0
        children = found.values() if isinstance(found, dict) else found
        return 1 + max(map(depth, children), default=0)

    assert decode.is_deeper({"x": value}, limit) == (depth({"x": value}) > limit)


@pytest.mark.parametrize("size", [1_000_000])
def test_the_scanner_takes_time_in_proportion(size: int) -> None:
    # A pattern that backtracks would not end on these.
    for raw in (b'"' + b"\\" * size, b'{"a":"' + b"\\\\" * (size // 2), b"[" * size, b'{"' + b"x" * size):
        assert isinstance(decode.single(raw), Undecodable)


@given(json_values, st.integers(0, 30))
def test_values_are_counted_as_a_recursive_count_would(value: Any, limit: int) -> None:
    def count(part: Any) -> int:
        if isinstance(part, dict):
            return len(part) + sum(map(count, part.values()))
        return len(part) + sum(map(count, part)) if isinstance(part, list) else 0

    assert decode.is_larger({"x": value}, limit) == (count({"x": value}) > limit)
