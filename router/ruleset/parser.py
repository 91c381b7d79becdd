"""Tokens to a syntax tree, by recursive descent. The grammar is in the manual, one method per rule of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from router.nearest import nearest
from router.ruleset import nodes
from router.ruleset.lexer import COMPARISONS, LanguageError, Token, joined, tokenize, unquote
from router.ruleset.misplaced import Left, element, hint_for

#: brackets, parentheses, arguments and `not` inside each other
MAX_DEPTH: Final = 20

_ENDINGS: Final = frozenset({"unset", "skip", "fail"})
#: why a value cannot end in `unset`: where it stands has nothing to clear, or it is a hole of a template
UNSET_ELSEWHERE: Final = "set, company, tags and send know it"
UNSET_IN_HOLE: Final = "it clears a whole value, no hole: one that is blank is left out by itself"
_EVENT_NAMES: Final = ("id", "type", "time", "received_at")
_VARIABLES: Final = ("$event", "$header", "$query", "$source")
#: what variables that hold the body are called elsewhere
_BODIES: Final = frozenset({"body", "input", "json", "payload", "root", "this"})
_EXAMPLES: Final = {"event": "type", "header": "x-name", "query": "name"}


def parse(text: str, allow: frozenset[str], first: int, last: int) -> nodes.Tree:
    """The tree of the expression from `first` to before `last`. `allow` has the words that may end it. Raises
    `LanguageError`."""
    return _Parser(text, allow, first, last).value()


class _Parser:
    def __init__(self, text: str, allow: frozenset[str], first: int, last: int) -> None:
        self._text = text
        self._first = first
        self._last = last
        self._allow = allow
        self._tokens = tokenize(text, first, last)
        self._position = 0
        self._token = self._tokens[0]
        self._depth = 0
        self._paths: list[nodes.Path] = []
        self._comparisons: list[nodes.Compare] = []
        #: where the last left side of a comparison, or what may be one, begins and ends
        self._compared = (0, 0)

    # --- tokens -------------------------------------------------------------------------------------------------

    def _advance(self) -> Token:
        """Step over the current token and give it back."""
        token = self._token
        self._position += 1
        self._token = self._tokens[self._position]
        return token

    def _skip(self, kind: str) -> bool:
        if self._token.kind != kind:
            return False
        self._advance()
        return True

    def _end(self) -> int:
        """Where the token before the current one ends."""
        return self._tokens[self._position - 1].end

    def _close(self, kind: str, opening: Token) -> Token:
        """Step over a closing bracket."""
        if self._token.kind != kind:
            if self._token.kind == "end":
                called = opening.text == "(" and self._tokens[self._tokens.index(opening) - 1].kind == "name"
                flow = "; where a comma inside {…} or […] of YAML splits the value, put quotes round it"
                hint = f"write {kind}{flow if called else ''}"
                raise self._error(f"this {opening.text} is never closed", hint, opening)
            raise self._unexpected(self._token)
        return self._advance()

    def _error(self, message: str, hint: str, token: Token, code: str = "syntax") -> LanguageError:
        start = max(self._first, min(token.start, self._last - 1))
        return LanguageError(code, message, hint, start=start, end=max(token.end, start + 1))

    def _unexpected(self, token: Token) -> LanguageError:
        if token.kind == "end":
            return self._error("the expression ends too early", "", token)
        if token.kind in _ENDINGS:
            return self._error(f"{token.text} stands only at the very end of a value, after else", "", token)
        shown = f"unexpected {token.text!r}" if len(token.text) <= 20 else "unexpected text"
        return self._error(shown, hint_for(self._tokens, self._position, self._left()), token)

    def _after(self, token: Token) -> Token:
        """The token behind another one; behind the last one that itself."""
        return self._tokens[min(self._tokens.index(token) + 1, len(self._tokens) - 1)]

    def _left(self) -> Left | None:
        """The left side of the comparison that the current token, or the sign before it, may belong to."""
        start, end = self._compared
        last = self._position - 1
        if last >= 0 and self._tokens[last].kind in COMPARISONS:
            last -= 1
        if last < 0 or self._tokens[last].end != end:
            return None
        first = next(index for index, each in enumerate(self._tokens) if each.start == start)
        return Left(self._text[start:end], first > 0 and self._tokens[first - 1].kind == "not")

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"the expression is nested deeper than {MAX_DEPTH}", "", token, "limit")

    # --- the grammar --------------------------------------------------------------------------------------------

    def value(self) -> nodes.Tree:
        start = self._token.start
        items = [self._or()]
        end, ending = self._end(), None
        while self._skip("else"):
            if self._token.kind in _ENDINGS:
                ending = self._ending()
                break
            items.append(self._or())
            end = self._end()
        if self._token.kind != "end":
            raise self._unexpected(self._token)
        root = items[0] if len(items) == 1 else nodes.Fallback(items, start, end)
        return nodes.Tree(root, ending, tuple(self._paths), tuple(self._comparisons))

    def _ending(self) -> nodes.Ending:
        word = self._advance()
        if self._token.kind != "end":
            raise self._error(f"{word.text} stands only at the very end of a value, after else", "", word)
        if word.text not in self._allow:
            hint = (UNSET_IN_HOLE if self._first else UNSET_ELSEWHERE) if word.text == "unset" else ""
            raise self._error(f"else {word.text} has no meaning here", hint, word)
        return nodes.Ending(word.text, word.start, word.end)

    def _fallback(self) -> nodes.Expression:
        start = self._token.start
        items = [self._or()]
        while self._skip("else"):
            items.append(self._or())
        return items[0] if len(items) == 1 else nodes.Fallback(items, start, self._end())

    def _or(self) -> nodes.Expression:
        start = self._token.start
        item = self._and()
        if self._token.kind != "or":
            return item
        items = [item]
        while self._skip("or"):
            items.append(self._and())
        return nodes.Or(items, start, self._end())

    def _and(self) -> nodes.Expression:
        start = self._token.start
        item = self._not()
        if self._token.kind != "and":
            return item
        items = [item]
        while self._skip("and"):
            items.append(self._not())
        return nodes.And(items, start, self._end())

    def _not(self) -> nodes.Expression:
        if self._token.kind != "not":
            return self._compare()
        word = self._advance()
        self._enter(word)
        item = self._not()
        self._depth -= 1
        return nodes.Not(item, word.start, self._end())

    def _compare(self) -> nodes.Expression:
        start = self._token.start
        left = self._pipe()
        self._compared = (start, self._end())
        kind = self._token.kind
        if kind == "exists":
            return nodes.Exists(left, start, self._advance().end)
        if kind not in COMPARISONS:
            return left
        operator = self._advance()
        right = self._pipe()
        compare = nodes.Compare(kind, left, right, start, self._end(), operator.start)
        self._comparisons.append(compare)
        return compare

    def _pipe(self) -> nodes.Expression:
        start = self._token.start
        term = self._term()
        if self._token.kind != "|":
            return term
        calls = []
        while self._skip("|"):
            name = self._token
            if name.kind != "name" and not name.text.isalpha():
                if name.kind == "end":
                    raise self._unexpected(name)
                default = self._after(name).kind in {"string", "number"}
                either = "a default is written: else" if default else "write: or; a default is written: else"
                hint = {"|": either, "path": "a path goes on without |, as in .a[].b"}.get(name.kind, "")
                if name.kind == "[":
                    hint = element(self._tokens, self._position)
                hint = joined(self._text, name.start, self._last) or hint
                raise self._error("expected a function's name after |", hint, name)
            self._advance()
            arguments = self._arguments()
            calls.append(nodes.Call(name.text, arguments, name.start, name.end, self._end()))
        return nodes.Pipe(term, calls, start, self._end())

    def _arguments(self) -> list[nodes.Expression]:
        if self._token.kind != "(":
            return []
        opening = self._advance()
        return self._list(opening, ")", self._fallback)

    def _list(self, opening: Token, closing: str, item: Callable[[], nodes.Expression]) -> list[nodes.Expression]:
        """Items between commas, up to the closing bracket."""
        self._enter(opening)
        items: list[nodes.Expression] = []
        if self._token.kind != closing:
            items.append(item())
            while self._skip(","):
                items.append(item())
        self._close(closing, opening)
        self._depth -= 1
        return items

    def _term(self) -> nodes.Expression:
        token = self._token
        kind = token.kind
        if kind == "path":
            return self._path()
        if kind == "string":
            self._advance()
            return nodes.Literal(unquote(token.text), token.start, token.end)
        if kind == "number":
            self._advance()
            return nodes.Literal(self._number(token), token.start, token.end)
        if kind in {"true", "false"}:
            self._advance()
            return nodes.Literal(kind == "true", token.start, token.end)
        if kind == "[":
            self._advance()
            items = self._list(token, "]", self._or)
            return nodes.ListOf(items, token.start, self._end())
        if kind == "(":
            self._advance()
            self._enter(token)
            inner = self._fallback()
            self._close(")", token)
            self._depth -= 1
            return inner
        raise self._unexpected(token)

    def _number(self, token: Token) -> int | float:
        text = token.text
        digits = text.lstrip("-")
        if digits[0] == "0" and digits[1:2].isdigit():
            raise self._error("a number does not start with 0", 'for text write quotes: "…"', token)
        if digits.isdigit():
            if -(2**63) <= int(text) < 2**63:
                return int(text)
        elif math.isfinite(float(text)):
            return float(text)
        raise self._error("the number is out of range", "", token)

    # --- paths --------------------------------------------------------------------------------------------------

    def _path(self) -> nodes.Path:
        first = last = self._advance()
        variable, _, names = first.text.partition(".")
        steps = _keys(names, first.start + len(variable) + 1) if names else []
        while self._token.start == last.end:
            token = self._token
            if token.kind == "[":
                last = self._bracket(steps)
            elif token.kind == "string" and last is first and first.text == ".":
                last = self._quoted(steps)
            elif token.kind == "path" and token.text[0] == ".":
                if last is first and first.text == ".":
                    raise self._no_name(token)
                last = self._advance()
                if last.text == ".":
                    last = self._quoted(steps)
                else:
                    steps += _keys(last.text[1:], last.start + 1)
            else:
                break
        text = self._text[first.start : last.end]
        base, name = self._base(variable, steps, first, last) if variable else ("dot", "")
        path = nodes.Path(base, name, () if name else tuple(steps), first.start, last.end, text)
        self._paths.append(path)
        return path

    def _no_name(self, token: Token) -> LanguageError:
        hint = f"an element is written [{token.text}]" if token.kind == "number" else ""
        following = self._after(token)
        if token.kind == "number" and following.kind == "name" and following.start == token.end:
            hint = f'a name that begins with a digit has quotes: ."{token.text}{following.text}"'
        elif token.kind == "[":
            hint = "leave the dot out before ["
        elif "$.." in self._text[: token.end]:
            hint = "write the whole path: nothing is searched for"
        return self._error("expected a field name after the dot", hint, token._replace(end=token.start + 1))

    def _quoted(self, steps: list[nodes.Step]) -> Token:
        """A name in quotes right after a dot."""
        dot, token = self._tokens[self._position - 1], self._token
        if token.kind != "string" or token.start != dot.end:
            raise self._no_name(token if token.start == dot.end and token.kind != "end" else dot)
        steps.append(nodes.Step("key", unquote(token.text), token.start, token.end))
        return self._advance()

    def _base(self, variable: str, steps: list[nodes.Step], first: Token, last: Token) -> tuple[str, str]:
        """Which thing is read: the base, and the name for those that have one."""
        if variable == "$":
            return "root", ""
        whole = first._replace(end=first.start + len(variable))
        if variable not in _VARIABLES:
            near = nearest(variable, _VARIABLES)
            rest = "".join(f".{step.value}" for step in steps if step.kind == "key")
            body = rest if rest and variable[1:] in _BODIES else f".{first.text[1:]}"
            hint = near if near.startswith("did you mean") else f"to read the event write {body}; else {near}"
            if variable in {"$env", "$file"}:
                hint = "settings and secrets cannot be read in rules"
            raise self._error(f"unknown variable {variable}", hint, whole, "unknown-variable")
        base = variable[1:]
        allowed = 0 if base == "source" else 1
        if len(steps) < allowed:
            raise self._error(f"expected a name after {variable}", f"as in {variable}.{_EXAMPLES[base]}", whole)
        if len(steps) > allowed or any(step.kind != "key" for step in steps):
            step = next((step for step in steps[:allowed] if step.kind != "key"), steps[-1])
            raise self._error(
                f"{variable} holds plain values: nothing can be read inside", "", Token("", "", step.start, step.end)
            )
        name = str(steps[0].value) if steps else ""
        if base == "event" and name not in _EVENT_NAMES:
            token = Token("", "", first.start, last.end)
            raise self._error(f"unknown variable $event.{name}", nearest(name, _EVENT_NAMES), token, "unknown-variable")
        return base, name.lower() if base == "header" else name

    def _bracket(self, steps: list[nodes.Step]) -> Token:
        """`[…]` right after a path; gives the closing bracket."""
        opening = self._advance()
        token, following = self._token, self._tokens[min(self._position + 1, len(self._tokens) - 1)]
        if token.kind == "]":
            steps.append(nodes.Step("every", None, opening.start, token.end))
            return self._advance()
        if following.kind == "]" and token.kind == "number":
            if not token.text.lstrip("-").isdigit():
                raise self._error("an index is a whole number", "", token)
            steps.append(nodes.Step("index", int(token.text), opening.start, following.end))
            self._advance()
            return self._advance()
        if following.kind == "]" and token.text in {"first", "last"}:
            place = "0" if token.text == "first" else "-1"
            raise self._error("a bracket holds an index or a condition", f"write [{place}]", token)
        if following.kind == "]" and token.kind == "string":
            raise self._error("a bracket holds an index or a condition", f"for a field name write .{token.text}", token)
        every = self._skip("all")
        if every and self._token.kind == "]":
            raise self._error("expected a condition after all", "every element is written []", token)
        outer_paths, outer_comparisons = self._paths, self._comparisons
        self._paths, self._comparisons = [], []
        self._enter(opening)
        condition = self._or()
        closing = self._close("]", opening)
        self._depth -= 1
        step = nodes.Step("every" if every else "first", None, opening.start, closing.end, condition)
        step.paths, step.comparisons = tuple(self._paths), tuple(self._comparisons)
        steps.append(step)
        self._paths, self._comparisons = outer_paths, outer_comparisons
        return closing


def _keys(names: str, start: int) -> list[nodes.Step]:
    """Steps of `a.b.c`, which begins at `start`."""
    steps = []
    for name in names.split("."):
        end = start + len(name)
        steps.append(nodes.Step("key", name, start, end))
        start = end + 1
    return steps
