"""YAML to a tree: values, places, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.ruleset.tree import ListNode, MapNode, Node, Scalar, plain, problem, read_yaml

WORDS = ["NO", "yes", "on", "~", "012", "0x1F", ".5", "5.", "+1", "1_000", "1:30", "2024-01-02", "True", "NULL", ".inf"]


def read(text: str) -> MapNode:
    node, problems = read_yaml("f.yaml", text.encode())
    assert not problems
    assert isinstance(node, MapNode)
    return node


def only_problem(data: str | bytes) -> tuple[Any, ...]:
    _, problems = read_yaml("f.yaml", data.encode() if isinstance(data, str) else data)
    (found,) = problems
    assert found.severity == "error"
    assert found.file == "f.yaml"
    return found.code, found.line, found.column, found.length, found.message, found.hint


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-12", -12),
        ("-0.5", -0.5),
        ("1e5", 100000.0),
        ("1E+2", 100.0),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        *[(text, text) for text in WORDS],
        ("'null'", "null"),
        ('"5"', "5"),
        ("''", ""),
        ("it's", "it's"),
        ("'it''s'", "it's"),
        ('"a\\tb\\u00e9"', "a\tbé"),
        ("|\n  two\n   lines\n", "two\n lines"),
        ("|-\n  x\n", "x"),
        ("|+\n  x\n\n", "x\n"),
        (">\n  two\n  lines\n", "two lines"),
        ("a\n  b", "a b"),
    ],
)
def test_a_scalar_is_what_the_manual_says(written: str, value: Any) -> None:
    got = plain(read(f"k: {written}"))["k"]
    assert (type(got), got) == (type(value), value)


def test_a_scalar_keeps_its_text_and_style() -> None:
    root = read("a: 012\nb: 1.50\nc: 'x'\nd: \"y\"\ne: |\n  z\nf: >\n  w\n")
    scalars = [value for _, value in root.pairs]
    assert [(node.text, node.style) for node in scalars if isinstance(node, Scalar)] == [
        ("012", "plain"), ("1.50", "plain"), ("x", "single"), ("y", "double"), ("z", "literal"), ("w", "folded"),
    ]  # fmt: skip


def test_keys_are_text() -> None:
    assert plain(read("1: a\nnull: b\ntrue: c\n1.0: d\n'q': e\n")) == {
        "1": "a", "null": "b", "true": "c", "1.0": "d", "q": "e",
    }  # fmt: skip
    assert read("1: a").pairs[0][0].value == "1"


def place(node: Node | None) -> tuple[int, int, int]:
    assert node is not None
    return node.line, node.column, node.length


def test_everything_knows_its_place() -> None:
    root = read('é: {ü: [1, "zwei"]}\nlist:\n  - a\n  - b: c\nempty:\ntext: |\n  x\nlong: a\n  b\n')
    assert place(root) == (1, 1, 1)
    inner = root.get("é")
    assert place(root.key_node("é")) == (1, 1, 1)
    assert place(inner) == (1, 4, 16)
    assert isinstance(inner, MapNode)
    items = inner.get("ü")
    assert place(items) == (1, 8, 11)
    assert isinstance(items, ListNode)
    assert [place(item) for item in items.items] == [(1, 9, 1), (1, 12, 6)]
    listed = root.get("list")
    assert place(listed) == (3, 3, 1)
    assert isinstance(listed, ListNode)
    assert [place(item) for item in listed.items] == [(3, 5, 1), (4, 5, 1)]
    assert place(root.get("empty")) == (5, 6, 1), "what is not there stands at the sign before it"
    assert place(root.get("text")) == (6, 7, 1)
    assert place(root.get("long")) == (8, 7, 1)
    assert root.get("nothing") is None
    assert root.key_node("nothing") is None


def test_columns_count_characters_not_bytes() -> None:
    assert place(read("k: {'😀 é': x}").pairs[0][1].get("😀 é")) == (1, 12, 1)  # type: ignore[attr-defined]
    assert place(read("﻿a: b\r\nc: d\r\n").get("c")) == (2, 4, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: -",
            (
                *("yaml", 1, 4, 1, "block sequence entries are not allowed in this context"),
                "begin the list on the next line, or write [a, b]",
            ),
        ),
        (
            "name: Jane: Doe",
            ("yaml", 1, 11, 1, "mapping values are not allowed in this context", 'quote the value: it contains ": "'),
        ),
        (
            "a: @x",
            ("yaml", 1, 4, 1, "found character that cannot start any token", 'quote the value: it starts with "@"'),
        ),
        (
            "a:\n\tb: 1",
            ("yaml", 2, 1, 1, "found character that cannot start any token", "indent with spaces, not tabs"),
        ),
        ("a: 'x\n", ("yaml", 1, 4, 1, "the text in quotes has no end", "")),
        ("a: [b", ("yaml", 1, 4, 1, "this [ is never closed", "write ]")),
        ("a: [", ("yaml", 1, 4, 1, "this [ is never closed", "write ]")),
        ("a: [b,\n\n# c\n", ("yaml", 1, 4, 1, "this [ is never closed", "write ]")),
        ("a: {b: c,", ("yaml", 1, 4, 1, "this { is never closed", "write }")),
        ("a: {b: ", ("yaml", 1, 4, 1, "this { is never closed", "write }")),
        ("a: 1\nb: {c: [d, [e], {f: g\n", ("yaml", 2, 17, 1, "this { is never closed", "write }]}")),
        ("[{a: b}]: [c", ("yaml", 1, 11, 1, "this [ is never closed", "write ]")),
        ("a: [b: ", ("yaml", 1, 4, 1, "this [ is never closed", "write ]")),
        ("a: [[b]: ", ("yaml", 1, 4, 1, "this [ is never closed", "write ]")),
        ("a: &x\n  [b", ("yaml", 2, 3, 1, "this [ is never closed", "write ]")),
        ("a: [b, }", ("yaml", 1, 8, 1, "did not find expected node content", "")),
        (
            'a: {b: .c | join(",")}',
            (
                "yaml",
                1,
                20,
                1,
                "the text in quotes has no end",
                """put quotes round the whole value: '.c | join(",")'""",
            ),
        ),
        (
            "a: [.c | join(', ') | lower, .d]",
            (
                "yaml",
                1,
                18,
                1,
                "the text in quotes has no end",
                """put quotes round the whole value: ".c | join(', ') | lower\"""",
            ),
        ),
        (
            'a: [.c | join(",") | title | replace("x", "y")]',
            (
                "yaml",
                1,
                39,
                1,
                "did not find expected ',' or ']'",
                """put quotes round the whole value: '.c | join(",") | title'""",
            ),
        ),
        (
            'a: {b: .c | split(","), d: .e | join(",")}',
            (
                "yaml",
                1,
                40,
                1,
                "the text in quotes has no end",
                """put quotes round the whole value: '.c | split(",")'""",
            ),
        ),
        (
            """a: {b: '.c | split(",")', d: .e | join(",")}""",
            (
                "yaml",
                1,
                42,
                1,
                "the text in quotes has no end",
                """put quotes round the whole value: '.e | join(",")'""",
            ),
        ),
        (
            'a: {b: .c | join(",")}\nd: "e"\nf: "g',
            (
                *("yaml", 2, 5, 1, "did not find expected ',' or '}'"),
                """put quotes round the whole value: '.c | join(",")'""",
            ),
        ),
        ('a: {b: "c}', ("yaml", 1, 8, 1, "the text in quotes has no end", "")),
        ('a: \'.c | join(",")\'\nb: "c', ("yaml", 2, 4, 1, "the text in quotes has no end", "")),
        (
            "a: b\n  c: [",
            (
                *("yaml", 2, 3, 1, "this key is indented deeper than the one before, which has a value already"),
                "begin it in column 1, like line 1",
            ),
        ),
        (
            "x\n  a: b",
            (
                *("yaml", 2, 4, 1, "mapping values are not allowed in this context"),
                "indent it like the line before, which has a value already or lacks its colon",
            ),
        ),
        *(
            (f"{text}\n", ("yaml", *place, f"this key stands outside of what line {like} goes on with", hint))
            for text, place, like, hint in [
                ("destinations:\n  a:\n    b: c\n  d: e\n    f: g", (4, 3, 1), 5, "begin it in column 5, like line 5"),
                ("source:\n  name: x\ntoo: y\n  rules: z", (3, 1, 3), 4, "begin it in column 3, like line 4"),
            ]
        ),
        *(
            (
                f"{text}\n",
                (
                    *("yaml", *place, "this key is indented deeper than the one before, which has a value already"),
                    f"begin it in column {column}, like line {place[0] - 1}",
                ),
            )
            for text, place, column in [
                ("source:\n  identity:\n    id: x\n  secret: y\n    url: z", (5, 5, 3), 3),
                ("source:\n  name: x\nto: y\n  rules: z", (4, 3, 5), 1),
            ]
        ),
        (
            "b:\n  d: x\nauth:\n  a: b: c",
            ("yaml", 4, 7, 1, "mapping values are not allowed in this context", 'quote the value: it contains ": "'),
        ),
        (
            'a: "b"c"',
            (
                *("yaml", 1, 7, 1, "did not find expected key"),
                'quote the whole value; one that reads the event begins with its path, as in .plan else "free"',
            ),
        ),
        *(
            (text, ("yaml", *place, 1, f"did not find expected {message}", hint))
            for text, place, message, hint in [
                (
                    "a: {b: 1\nc: 2",
                    (2, 2),
                    "',' or '}'",
                    "the { of line 1 is still open: close it, or put a comma between its parts",
                ),
                ("a: [[b] c]", (1, 9), "',' or ']'", ""),
                (
                    'a: ["x" else .y]',
                    (1, 9),
                    "',' or ']'",
                    'quote the whole value; one that reads the event begins with its path, as in .plan else "free"',
                ),
                ("a: [b] c", (1, 8), "key", "quote the whole value: one that begins with { or [ ends with its bracket"),
                (
                    "a:\n  b: 1\n c: 2",
                    (3, 2),
                    "key",
                    "indent it like the keys it belongs to: none of them begins in column 2",
                ),
                (
                    'a: "x" else .y',
                    (1, 8),
                    "key",
                    'quote the whole value; one that reads the event begins with its path, as in .plan else "free"',
                ),
                (
                    "a: 'x' | lower",
                    (1, 10),
                    "comment or line break",
                    'quote the whole value; one that reads the event begins with its path, as in .plan else "free"',
                ),
                (
                    "a:\n - b\n c: 1",
                    (3, 2),
                    "'-' indicator",
                    "a list has items only: indent this key like the one that holds the list",
                ),
            ]
        ),
        (
            "a: 1\nb\n",
            (
                *("yaml", 2, 1, 1, "could not find expected ':'"),
                "write key: value, or indent it to go on with the line before",
            ),
        ),
        ("é: b\x07", ("yaml", 1, 5, 1, "control characters are not allowed", "")),
        ("é: b\x00", ("yaml", 1, 5, 1, "control characters are not allowed", "")),
        (
            "a: 1\nb: *created",
            ("yaml-feature", 2, 4, 8, "YAML aliases are not used here", 'for the text write "*created"'),
        ),
        ("a: &x 1", ("yaml-feature", 1, 4, 4, "YAML anchors are not used here", 'for the text write "&x 1"')),
        ("a: &x [1]", ("yaml-feature", 1, 4, 4, "YAML anchors are not used here", 'for the text write "&x …"')),
        ("a: !!str 1", ("yaml-feature", 1, 4, 7, "YAML tags are not used here", "for the text put it in quotes")),
        ("a: !.x", ("yaml-feature", 1, 4, 3, "YAML tags are not used here", "write: not .x; as a value: .x | not")),
        ("a: !env X", ("yaml-feature", 1, 4, 6, "YAML tags are not used here", "write $env.X")),
        ("a: !env A-B", ("yaml-feature", 1, 4, 8, "YAML tags are not used here", "for the text put it in quotes")),
        ("key: !env X", ("yaml-feature", 1, 6, 6, "YAML tags are not used here", "write $env.NAME")),
        ("a: ! x", ("yaml-feature", 1, 4, 3, "YAML tags are not used here", "for the text put it in quotes")),
        ("<<: {a: 1}", ("yaml-feature", 1, 1, 2, "YAML merge keys are not used here", "write the keys out")),
        ("? [a]\n: b", ("yaml-feature", 1, 3, 1, "a key is text here, no list or map", "")),
        ("? {a: 1}\n: {b: 2}", ("yaml-feature", 1, 3, 1, "a key is text here, no list or map", "")),
        (
            "a: 1\n---\nb: 1",
            ("yaml-feature", 2, 1, 3, "a file holds one document", "put the second one into its own file"),
        ),
        ("a: 1\nb: 2\n'a': 3", ("yaml-duplicate", 3, 1, 3, "duplicate key 'a'", "first used on line 1")),
        ("a: 1e999", ("yaml-limit", 1, 4, 5, "the number is out of range", "put it in quotes to make it text")),
        (
            "a: 9223372036854775808",
            ("yaml-limit", 1, 4, 19, "the number is out of range", "put it in quotes to make it text"),
        ),
        (
            "a: " + "9" * 5000,
            ("yaml-limit", 1, 4, 5000, "the number is out of range", "put it in quotes to make it text"),
        ),
        (b"a: 1\nb: \xff", ("yaml", 2, 4, 1, "the file is not UTF-8 text", "")),
        ("é: ü".encode("utf-16"), ("yaml", 1, 1, 1, "the file is not UTF-8 text", "")),
        ("a: " + "[" * 20, ("yaml-limit", 1, 23, 1, "nested deeper than 20", "")),
        ("[" * 100_000, ("yaml-limit", 1, 21, 1, "nested deeper than 20", "")),
        ("- x\n" * 20_001, ("yaml-limit", 20_000, 3, 1, "the file has more than 20,000 keys and values", "")),
        ("- []\n" * 20_000, ("yaml-limit", 20_000, 3, 1, "the file has more than 20,000 keys and values", "")),
        (b"#" * 1_048_577, ("yaml-limit", 1, 1, 1, "the file is larger than 1 MB", "")),
    ],
)
def test_what_is_refused_is_refused_at_its_place(text: str | bytes, expected: tuple[Any, ...]) -> None:
    assert only_problem(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "'<<': 1",
        "a: '*created'",
        "a: '&x 1'",
        "a: '!x'",
        "9" * 30 + ": a number as a key",
        "a: " + "[" * 19 + "]" * 19,
        "- x\n" * 19_999,
        "---\na: 1\n...\n",
        "#" * 1_048_576,
    ],
)
def test_what_is_near_is_taken(text: str) -> None:
    assert read_yaml("f.yaml", text.encode())[1] == []


def test_what_is_refused_leaves_the_rest_readable() -> None:
    node, problems = read_yaml("f.yaml", b"a: *b\nc: &d {e: 1}\na: 2\n? [x]\n: y\nf: [*g, 3]\ng: [{<<: 1}]\n")
    assert node is not None
    assert plain(node) == {"a": "*b", "c": {"e": 1}, "f": ["*g", 3], "g": [{}]}
    assert [found.code for found in problems] == [
        "yaml-feature", "yaml-feature", "yaml-duplicate", "yaml-feature", "yaml-feature", "yaml-feature",
    ]  # fmt: skip


def test_a_file_that_is_no_yaml_gives_its_first_problem_only() -> None:
    node, problems = read_yaml("f.yaml", b"a: *b\na: 1\nc: d: e\n")
    assert node is None
    assert [found.message for found in problems] == ["mapping values are not allowed in this context"]


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_nothing(data: bytes) -> None:
    assert read_yaml("f.yaml", data) == (None, [])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (".a .b", (1, 7, 2)),
        ("it's .b", (1, 9, 2)),
        ("'x .b'", (1, 7, 2)),
        ("'it''s .b'", (1, 11, 2)),
        ('"x .b"', (1, 7, 2)),
        ('"\\x41 .b"', (1, 4, 9)),
        ("|\n  x .b\n", (1, 4, 1)),
        (">\n  x .b\n", (1, 4, 1)),
        ("x\n  .b", (1, 4, 1)),
        ("'x\n  .b'", (1, 4, 1)),
    ],
)
def test_a_problem_inside_a_text_has_its_place(written: str, expected: tuple[int, int, int]) -> None:
    node = read(f"k: {written}").get("k")
    assert isinstance(node, Scalar)
    found = problem(node, "syntax", "message", "hint", offset=node.text.index(".b"), length=2)
    assert (found.line, found.column, found.length) == expected
    assert (found.file, found.code, found.message, found.hint, found.severity) == (
        "f.yaml", "syntax", "message", "hint", "error",
    )  # fmt: skip


def test_a_problem_at_a_node_has_the_place_of_the_node() -> None:
    root = read("k: 'a''b'\nm: {x: 1}")
    assert problem(root.pairs[0][1], "c", "m").length == 6
    assert problem(root.pairs[0][1], "c", "m", offset=1, length=2) == problem(
        root.pairs[0][1], "c", "m", offset=1, length=2, severity="error"
    )
    inside = problem(root.pairs[0][1], "c", "m", offset=1, length=2, severity="warning")
    assert (inside.column, inside.length, inside.severity) == (6, 3, "warning")
    assert problem(root.pairs[0][1], "c", "m", offset=2).length == 1
    assert (problem(root.pairs[1][1], "c", "m", offset=3).column, problem(root.pairs[1][1], "c", "m").length) == (4, 6)


PIECES = [
    *[
        "a",
        "b: ",
        "- ",
        "\n",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'",
        '"',
        "|",
        ">",
        "&x ",
        "*x",
        "!t ",
        "<<: ",
        "? ",
        ": ",
    ],
    *["---", "...", "%Y", "#", "\t", "\x00", "é", "1e999", "null", "\\", "\r", "\u2028", "\ufeff", "@"],
]


@given(st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=25).map(lambda some: "".join(some).encode()))
@example(b"\xef\xbb\xbf\x00")
@example(b"a: \r\x00")
def test_any_bytes_give_a_tree_or_problems_in_the_file(data: bytes) -> None:
    node, problems = read_yaml("f.yaml", data)
    lines = data.decode("utf-8", "replace").splitlines() or [""]
    for found in problems:
        assert found.code.startswith("yaml")
        assert found.line >= 1
        assert found.column >= 1
        assert found.length >= 1
        assert found.line <= len(lines) + 1
    if node is not None:
        plain(node)


@pytest.mark.parametrize("text", ["a" + " " * 900_000, "a: " + '"x' * 300_000, "a" + " y" * 300_000, "- " * 300_000])
def test_a_long_line_before_a_mistake_costs_what_its_length_does(text: str) -> None:
    """What goes back over a run again and again would not end here."""
    _, problems = read_yaml("f.yaml", f"source:\n  {text}\n    b: c\n   x: [\n".encode())
    assert problems
