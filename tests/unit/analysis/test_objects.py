"""Whatever form objects come in, each of them knows its file and line."""

from __future__ import annotations

import json

import pytest

from tenantprofile.input.documents import DocumentError
from tenantprofile.input.objects import ObjectError, read_text
from unit.analysis.texts import objects

TWO = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: one}
    ---
    apiVersion: v1
    kind: Namespace
    metadata:
      name: two
    """


def test_every_document_of_a_file_is_an_object_with_its_line() -> None:
    one, two = objects(TWO)
    assert (one.name, one.place()) == ("one", "1.yaml:1")
    assert (two.name, two.place(("metadata", "name"))) == ("two", "1.yaml:8")


def test_a_list_is_opened_and_its_items_keep_their_lines() -> None:
    found = objects(
        """
        apiVersion: v1
        kind: List
        items:
          - {apiVersion: v1, kind: Namespace, metadata: {name: one}}
          - apiVersion: v1
            kind: Namespace
            metadata:
              name: two
        """
    )
    assert [item.place(("metadata", "name")) for item in found] == ["1.yaml:4", "1.yaml:8"]


def test_items_of_a_typed_list_get_their_kind_from_it() -> None:
    (pod,) = objects("{apiVersion: v1, kind: PodList, items: [{metadata: {name: a}}]}")
    assert (pod.kind, pod.api_version, pod.name) == ("Pod", "v1", "a")


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_has_lines_as_well(indent: int | str | None) -> None:
    data = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "one"}}
    (item,) = read_text(json.dumps(data, indent=indent), "x.json")
    assert item.name == "one"
    assert item.origin.line(("metadata", "name")) == (1 if indent is None else 5)


def test_a_key_twice_is_refused_in_json_too() -> None:
    with pytest.raises(DocumentError, match="'kind' a second time"):
        list(read_text('{"kind": "A", "kind": "B", "apiVersion": "v1"}', "x.json"))


@pytest.mark.parametrize("text", ["a: 1", "- 1", "just text", "kind: Pod", "{apiVersion: v1}"])
def test_what_is_no_object_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ObjectError, match=r"^x:1: found .*; expected a Kubernetes object"):
        list(read_text(text, "x"))


def test_a_lenient_reader_goes_on_after_what_is_no_object() -> None:
    others: list[ObjectError] = []
    text = "a: 1\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n"
    assert [item.name for item in read_text(text, "x", others)] == ["one"]
    assert [error.place for error in others] == ["x:1"]
