"""YAML is read as kubectl reads it, and strictly; every value knows its line."""

from __future__ import annotations

import pytest

from tenantprofile.input.documents import DocumentError, Reader, read_documents


def read(text: str) -> object:
    (document,) = read_documents(text, "file.yaml")
    return document.data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", True),
        ("No", False),
        ("~", None),
        ("'on'", "on"),
        ("017", 15),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("08", 8.0),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("0o", "0o"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("18446744073709551616", 18446744073709551616.0),
        ("1" * 400, "1" * 400),
    ],
)
def test_a_plain_scalar_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    found = read(f"a: {text}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


def test_keys_become_strings() -> None:
    assert read("1: a\ntrue: b\n'2': c") == {"1": "a", "true": "b", "2": "c"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "key 'a' a second time; the first is in line 1"),
        ("a: 1\n1: x\n'1': y", 3, "second time"),
        ("a: 1\nb: *x", 2, "alias"),
        ("a: !!str 1", 1, "tag"),
        ("a: !Ref x", 1, "tag"),
        ("%TAG ! tag:example.com,2000:\n---\na: 1", 1, "TAG"),
        ("a:\n  <<: [1]", 2, "merge"),
        ("? [a]\n: 1", 1, "as a key"),
        ("~: 1", 1, "as a key"),
        ("a: .inf", 1, "JSON"),
        ("a: [", 2, "not YAML"),
        ("a: b\nc: \x07", 2, "control characters"),
        ("[" * 1000, 1, "levels of nesting"),
    ],
)
def test_what_two_readers_may_read_differently_is_refused_with_its_line(
    text: str, line: int, words: str
) -> None:
    with pytest.raises(DocumentError, match=words) as raised:
        read_documents(text, "file.yaml")
    assert (raised.value.file, raised.value.line) == ("file.yaml", line)


def test_every_value_has_a_position_and_the_next_thing_around_it_stands_in_for_what_was_not_written() -> None:
    first, second = read_documents("a:\n  - b: 1\n    c: {d: 2}\n---\n---\ne: 3\n")
    assert first.position(("a", 0, "c", "d")) == (3, 9)
    assert first.line(("a", 0, "c", "missing", 7)) == 3
    assert second.data == {"e": 3}
    assert second.line(("e",)) == 6


def test_anchors_aliases_and_merge_keys_are_read_as_kubectl_reads_them() -> None:
    text = "base: &b {x: 1, w: 2}\nother: &o {w: 3, z: 4}\nmade:\n  <<: [*b, *o]\n  x: 9\ncopy: *b\n"
    assert read(text)["made"] == {"x": 9, "w": 2, "z": 4}  # type: ignore[index]
    assert read(text)["copy"] == {"x": 1, "w": 2}  # type: ignore[index]


def test_aliases_that_stand_for_too_much_are_refused() -> None:
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 12)]
    with pytest.raises(DocumentError, match="aliases that stand for more than"):
        read_documents("\n".join(lines))
    with pytest.raises(DocumentError, match="without a value"):
        read_documents("a: &x [*x]")


LISTS = (
    "kind: List\nitems:\n- a: 1\n  b:\n    c: [x, y]\n# between\n-   d: |\n      text\n\n      more\n- 5\nlast: é\n",
    "  kind: List\n  items:\n    - a: 1\n    - b: {c: d,\n e: f}\n",
    "{kind: List, items: [{a: 1}, {b:\n  [2, 3]}], c: d}",
    "items:\n- &one\n  a: &two {b: c}\n- d: *two\n  e: *one\n",
    "items: {a: [1]}\nspec:\n  items:\n  - a\n",
    "# comment\n--- # one\na: é\nb: 1\n---\n- items:\n  - a: 1\n--- {a: 1}\n...\n",
)


@pytest.mark.parametrize("text", LISTS)
def test_positions_that_are_worked_out_later_are_those_that_reading_finds(text: str) -> None:
    at_once = [document for document in Reader(text, "f") if document.data is not None]
    later = read_documents(text, "f")
    assert [document.data for document in later] == [document.data for document in at_once]
    for one, other in zip(later, at_once, strict=True):
        assert {path: one.position(path) for path in other.positions} == dict(other.positions)
        assert dict(one.positions) == dict(other.positions)


def test_equal_strings_are_kept_once() -> None:
    one, other = read_documents("a: some text\n---\nb: some text\n")
    assert one.data["a"] is other.data["b"]
