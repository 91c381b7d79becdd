"""Damaged rule files: problems at places inside them, or a project; nothing else comes out."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import RuleError, RuleErrors
from router.ruleset import check, check_files, load, run_tests, update
from router.ruleset.report import FORMATS, report
from router.ruleset.yaml_errors import lines_of
from router.settings import read_rules

RULES, SAMPLES = read_rules(Path(__file__).parents[2] / "rules")

#: what is put in somewhere
PIECES = [
    *[
        b"null",
        b'""',
        b"[]",
        b"{}",
        b"true",
        b"0",
        b"-1",
        b"1e400",
        b"9" * 30,
        b"{a: b}",
        b"[a, b]",
        b"2026-01-01",
        b"~",
    ],
    *[b".", b"$", b"$env.X", b".a..b", b"{.a}", b"\\x", b"skip", b"*", b".data.object.email | lowr", b"- - - x"],
    *[
        b"'",
        b'"',
        b"#",
        b"&a",
        b"*a",
        b"!t",
        b"<<: x",
        b"@x",
        b"a: b: c",
        b"|\n    x",
        b"? a\n: b",
        b"---\n",
        b"{",
        b"}",
        b"]",
    ],
    *[
        b",",
        b"\t",
        b"\r",
        b"\x00",
        b"\x0b",
        b"\xff",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xf0\x9f\x98\x80",
        b"\xef\xbb\xbf",
    ],
]
WORD = re.compile(rb'[^\s,:{}\[\]"]+')
VALUE = re.compile(rb"(?<=: )[^\n#]+")


def flipped(data: bytes, chance: random.Random) -> bytes:
    """One byte is another."""
    place = chance.randrange(max(1, len(data)))
    return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]


def moved(data: bytes, chance: random.Random) -> bytes:
    """A line is gone, there twice, indented otherwise, or in the place of another."""
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            lines[one] = b" " * chance.randrange(12) + lines[one].lstrip()
        case _:
            lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def swapped(data: bytes, chance: random.Random) -> bytes:
    """A word or value is another one of the file, or something odd."""
    found = list(chance.choice([WORD, VALUE]).finditer(data))
    if not found:
        return data
    place = chance.choice(found)
    piece = chance.choice([*PIECES, chance.choice(found)[0]])
    return data[: place.start()] + piece + data[place.end() :]


def cut(data: bytes, chance: random.Random) -> bytes:
    """A few bytes are gone, or something odd is put in."""
    place = chance.randrange(len(data) + 1)
    if chance.randrange(2):
        return data[:place] + data[place + chance.randrange(40) :]
    return data[:place] + chance.choice(PIECES) + data[place:]


def damaged(chance: random.Random) -> dict[str, bytes]:
    """The example project with one to three accidents in one file."""
    files = dict(RULES)
    name = chance.choice(sorted(files))
    for _ in range(chance.randrange(1, 4)):
        files[name] = chance.choice([flipped, moved, swapped, cut])(files[name], chance)
    return files


def lies_inside(problem: RuleError, files: Mapping[str, bytes]) -> bool:
    """Whether what is underlined is there: the line, and in it every column; of an empty line the first one."""
    if problem.file not in files:
        return problem.file.removeprefix("samples/") in SAMPLES
    lines = lines_of(files[problem.file].decode("utf-8-sig", "replace"))
    end = problem.column - 1 + problem.length
    return problem.line <= len(lines) and 1 <= problem.column <= end <= max(1, len(lines[problem.line - 1]))


@given(st.integers(0, 2**64))
@settings(max_examples=200)
def test_a_damaged_project_has_problems_in_its_files_or_loads(seed: int) -> None:
    files = damaged(random.Random(seed))
    problems = check(files, SAMPLES, fault=lambda use: "")
    assert [problem for problem in problems if not lies_inside(problem, files)] == []
    assert all(problem.message and problem.code for problem in problems)
    fatal = [each for each in problems if each.severity == "error" and not each.code.startswith("test-")]
    if not fatal:
        load(files, SAMPLES, reveal=str)
        return
    with pytest.raises(RuleErrors) as caught:
        load(files, SAMPLES, reveal=str)
    assert [problem for problem in caught.value.problems if not lies_inside(problem, files)] == []


@given(st.integers(0, 2**64))
@settings(max_examples=60)
def test_a_damaged_project_is_reported_and_its_tests_run_and_are_updated(seed: int) -> None:
    files = damaged(random.Random(seed))
    checked = check_files(files, SAMPLES)
    for form in FORMATS:
        assert report(checked, files, form) or not checked.problems
    try:
        run = run_tests(files, SAMPLES)
    except RuleErrors:
        return
    found = update(files, run)
    after = run_tests({**files, **found.files}, SAMPLES)
    assert after.failed == len(found.refused) + len(run.faults)
