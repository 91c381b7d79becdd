"""What `check` prints: text for people, JSON for programs, and annotations for GitHub. Pure functions."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping

from router.errors import RuleError
from router.ruleset.checking import Checked
from router.ruleset.secret_keys import credentials_in, is_secret_key
from router.ruleset.text import counted, printable
from router.ruleset.yaml_errors import lines_of

FORMATS = ("text", "json", "github")
_COLOURS = {"error": "\x1b[31m", "warning": "\x1b[33m"}
_PLAIN = "\x1b[0m"
#: characters of a line that is shown whole; of a longer one, those on each side of what is meant
_MOST, _AROUND = 160, 60
#: a key, and what follows it: a list, or up to a comma, a bracket or a comment
_KEY = re.compile(r"""(?<![\w.$-])["']?([A-Za-z_][\w-]*)["']?\s*[:=]\s*""")
_GIVEN = re.compile(r"""\[[^\]]*|"[^"]*"?|'(?:[^']|'')*'?|(?:(?!\s\#)[^,{}\[\]])+""")
#: a URL, or its parameters, as it stands in a line
_URL = re.compile(r"""(?:[A-Za-z][A-Za-z0-9+.-]*:/|[?&])[^\s"']*""")
#: of such a value what is no reference
_LITERAL = re.compile(r"""(?<![^\s,\["'])(?!\.[A-Za-z]|\$(?:env|file|event|header|query)\.)[^\s,\["']+""")


def report(
    checked: Checked,
    files: Mapping[str, bytes],
    form: str = "text",
    *,
    prefix: str = "",
    colour: bool = False,
    between: str = "",
    changed: int | None = None,
) -> str:
    """All problems and the sums, in one of `FORMATS`. `prefix` goes before the names of files, as in `rules/`.

    For people, `between` stands before the sums, which then count the `changed` files instead of all.
    """
    if form == "json":
        return _json(checked, prefix)
    if form == "github":
        return "\n".join(_github(problem, prefix) for problem in checked.problems)
    lines = _Lines(checked.problems, files)
    problems = [_text(problem, lines, prefix, colour) for problem in checked.problems]
    return "\n".join([*problems, *([between] if between else []), sums(checked, changed)])


def sums(checked: Checked, changed: int | None = None) -> str:
    """`7 rule files, 8 rules, 11 tests passed, 1 error, 0 warnings`."""
    parts = [
        counted(checked.files, "rule file") if changed is None else f"{counted(changed, 'rule file')} changed",
        counted(checked.rules, "rule"),
        f"{counted(checked.tests.passed, 'test')} passed",
        counted(checked.errors, "error"),
        counted(checked.warnings, "warning"),
    ]
    return ", ".join(parts)


def _text(problem: RuleError, lines: _Lines, prefix: str, colour: bool) -> str:
    start, end = (_COLOURS[problem.severity], _PLAIN) if colour else ("", "")
    head = (
        f"{prefix}{problem.file}:{problem.line}:{problem.column}: "
        f"{start}{problem.severity}[{problem.code}]{end} {printable(problem.message)}"
    )
    hint = printable(problem.hint)
    line = lines.of(problem)
    if line is None:
        return f"{head} ({hint})" if hint else head
    first = problem.column - 1
    last = first + problem.length
    begin, until = (max(0, first - _AROUND), last + _AROUND) if len(line) > _MOST else (0, len(line))
    parts = ("…" * (begin > 0) + line[begin:first], line[first:last], line[last:until] + "…" * (until < len(line)))
    before, inside, after = map(printable, parts)
    carets = " " * _width(before) + start + "^" * max(1, _width(inside)) + end
    shown = f"{problem.line:>5} | {before}{inside}{after}".rstrip()
    return f"{head}\n{shown}\n{'':>5} | {carets} {hint}".rstrip()


class _Lines:
    """The lines of the rule files, with secrets that stand in them as asterisks."""

    def __init__(self, problems: Iterable[RuleError], files: Mapping[str, bytes]) -> None:
        self._files = files
        self._secrets = [each for each in problems if each.code == "secret-literal"]

    def of(self, problem: RuleError) -> str | None:
        """The line of a problem, tabs as blanks; None if there is none to show."""
        try:
            lines = lines_of(self._files[problem.file].decode("utf-8-sig"))
        except (KeyError, UnicodeDecodeError):
            return None
        if problem.line > len(lines):
            return None
        line = _without_secrets(lines[problem.line - 1].replace("\t", " "))
        for each in self._secrets:
            if (each.file, each.line) == (problem.file, problem.line):
                first, last = each.column - 1, each.column - 1 + each.length
                line = line[:first] + "*" * (last - first) + line[last:]
        return line


def _without_secrets(line: str) -> str:
    """A line with what is given to keys for secrets as asterisks, but for references. It is looked for in the text, as
    the file may be none that could be read."""
    line = _URL.sub(lambda found: _url_without_secrets(found[0]), line)
    parts, at = [], 0
    while key := _KEY.search(line, at):
        given = _GIVEN.match(line, key.end()) if is_secret_key(key[1]) else None
        parts.append(line[at : key.end()])
        at = key.end()
        if given:
            parts.append(_LITERAL.sub(lambda part: "*" * len(part[0]), given[0]))
            at = given.end()
    return "".join([*parts, line[at:]])


def _url_without_secrets(url: str) -> str:
    for start, end, _ in credentials_in(url):
        url = url[:start] + "*" * (end - start) + url[end:]
    return url


def _width(text: str) -> int:
    """Cells on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _json(checked: Checked, prefix: str) -> str:
    problems = [
        {
            "file": prefix + p.file,
            "line": p.line,
            "column": p.column,
            "length": p.length,
            "severity": p.severity,
            "code": p.code,
            "message": p.message,
            "hint": p.hint,
        }
        for p in checked.problems
    ]
    document = {"problems": problems, "errors": checked.errors, "warnings": checked.warnings}
    return printable(json.dumps(document, ensure_ascii=False))


def _github(problem: RuleError, prefix: str) -> str:
    """A workflow command: https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""
    place = {
        "file": prefix + problem.file,
        "line": problem.line,
        "col": problem.column,
        "endColumn": problem.column + problem.length,
        "title": problem.code,
    }
    properties = ",".join(f"{name}={_property(str(value))}" for name, value in place.items())
    message = f"{problem.message} – {problem.hint}" if problem.hint else problem.message
    return f"::{problem.severity} {properties}::{printable(escaped(message))}"


def escaped(text: str) -> str:
    """The text of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return escaped(text).replace(":", "%3A").replace(",", "%2C")
