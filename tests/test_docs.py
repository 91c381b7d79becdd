"""The pages of `docs/` name everything that the code has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from router import errors
from router.cli.main import main
from router.errors import SignatureError
from router.model import Webhook
from router.providers import PROVIDERS
from router.ruleset import load
from router.ruleset.keys import SOURCE
from router.settings import Secret, Settings, read_settings
from router.sources import HANDSHAKES, SCHEMES, Source
from router.sources.envelopes import FORMATS, check_media
from router.sources.schemes.base import Param

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def sections(text: str, level: int = 3) -> dict[str, list[str]]:
    """Heading (without back quotes) → the texts under it; fenced blocks are no headings."""
    found: dict[str, list[str]] = {}
    name, fenced = "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and (match := re.match(r"(#+) (.+)", line)):
            name = match[2].replace("`", "") if len(match[1]) >= level else ""
            found.setdefault(name, []).append("")
        elif name:
            found[name][-1] += line + "\n"
    return found


def table_rows(text: str) -> set[str]:
    """Everything in back quotes in the first columns of the tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


SOURCES = page("sources.md")
CLI_SECTIONS = sections(page("cli.md"))


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_has_an_entry_with_its_parameters(name: str) -> None:
    text = sections(SOURCES.partition("\n## Presets\n")[0])[name][0]
    words = set(re.findall(r"`([a-z_0-9]+)`", text))
    assert set(_parameters(SCHEMES[name].params)) <= words


def _parameters(params: Mapping[str, Param]) -> Iterator[str]:
    for name, param in params.items():
        yield name
        yield from _parameters(param.keys or {})


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_has_an_entry_with_its_parameters(name: str) -> None:
    (text,) = sections(SOURCES, 2)["Handshakes"]
    (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    assert set(_parameters(HANDSHAKES[name].params or {})) <= set(re.findall(r"`([a-z_]+)`", row))


def test_an_envelope_format_has_an_entry() -> None:
    (text,) = sections(SOURCES, 2)["Envelopes"]
    assert table_rows(text) >= set(FORMATS)


#: keys that are accepted and that nothing reads yet are not promised
UNPROMISED = {"about"}


@pytest.mark.parametrize(
    "media", ["application/json", "application/vnd.x+json", "text/plain", "application/octet-stream", ""]
)
def test_json_may_say_what_the_page_says(media: str) -> None:
    (text,) = sections(SOURCES, 2)["Envelopes"]
    assert media.replace("application/vnd.x", "") in text
    webhook = Webhook("x", "POST", {"content-type": media}, {}, b"{}", NOW)
    assert check_media(webhook, "json") == media


def test_a_key_of_a_source_has_an_entry() -> None:
    (text,) = sections(SOURCES, 2)["Keys of source:"]
    assert table_rows(text) == set(SOURCE) - UNPROMISED


def test_an_answer_has_an_entry() -> None:
    (text,) = sections(SOURCES, 2)["Answers"]
    refusals = [error for _, error in _exceptions() if issubclass(error, errors.WebhookError)]
    assert all(f"| {error.status} |" in text for error in refusals)


def test_a_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", page("security.md"))
    assert len(named) > 30
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), f"{file}::{name}"


# --- the invented sender ----------------------------------------------------------------------------------------------

DESTINATION = b"destinations:\n  moesif: {provider: moesif, application_id: $env.MOESIF_APPLICATION_ID}\n"
GLOBEX_BODY = (
    b'{"batch":{"items":[{"kind":"member.joined","uid":"e1","at":1795348800,"member":{"number":7,"revision":3}}]}}'
)


@pytest.fixture
def globex(monkeypatch: pytest.MonkeyPatch) -> Source:
    """The sender of the page, loaded from its very text."""
    (text,) = sections(SOURCES, 2)["A sender of your own"]
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    monkeypatch.setenv("GLOBEX_SECRET", "the newer of two globex secrets")
    monkeypatch.setenv("GLOBEX_SECRET_OLD", "the older of two globex secrets")
    monkeypatch.setenv("MOESIF_APPLICATION_ID", "an application id that is made up")
    files = {"destinations.yaml": DESTINATION, "globex.yaml": block[1].encode()}
    project = load(files, {}, reveal=Secret.reveal, base_url=lambda _name: None)
    return project.sources["globex"]


BLOCKS = re.findall(r"```yaml\n(.*?)```", SOURCES, re.DOTALL)
RULES = b"to: moesif\nrules: {any: {when: '*', user: .id, set: {email: .email}}}\n"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.findall(r"name: ([a-z0-9-]+)", block)[0])
def test_a_source_of_the_page_can_be_loaded(block: str) -> None:
    rules = b"" if "\nrules:" in block else RULES
    project = load(
        {"destinations.yaml": DESTINATION, "sender.yaml": block.encode() + rules},
        {},
        reveal=str,
        base_url=lambda _name: None,
    )
    assert len(project.sources) == 1


def posted(body: bytes, headers: Mapping[str, str]) -> Webhook:
    lower = {name.lower(): value for name, value in headers.items()}
    return Webhook("globex", "POST", {"content-type": "application/json", **lower}, {}, body, NOW)


def test_the_invented_sender_is_verified_and_opened(globex: Source) -> None:
    signed = globex.sign(GLOBEX_BODY, now=NOW, event_id="d-1")
    assert signed["x-globex-signature"].startswith("v2:")
    webhook = posted(GLOBEX_BODY, signed)
    globex.verify(webhook, NOW)
    (event,) = globex.decode(webhook)
    assert (event.type, event.external_id, event.object_version) == ("member.joined", "e1", 3)
    assert event.occurred_at == NOW
    assert globex.ack.status == 202


def test_the_invented_sender_greets(globex: Source) -> None:
    hello = posted(GLOBEX_BODY, {**globex.sign(GLOBEX_BODY, now=NOW, event_id="d-1"), "X-Globex-Kind": "hello"})
    assert globex.handshake_after(hello) == globex.ack


def test_a_changed_body_of_the_invented_sender_is_refused(globex: Source) -> None:
    webhook = posted(GLOBEX_BODY + b" ", globex.sign(GLOBEX_BODY, now=NOW, event_id="d-1"))
    with pytest.raises(SignatureError):
        globex.verify(webhook, NOW)


# --- commands, settings, providers, errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", main.commands)
def test_a_command_has_an_entry_with_every_option(name: str) -> None:
    (text,) = CLI_SECTIONS[name]
    options = {
        option
        for param in main.commands[name].params
        if isinstance(param, click.Option)
        for option in param.opts
        if option.startswith("--")
    }
    assert {row for row in table_rows(text) if row.startswith("--")} == options


def test_an_entry_is_of_a_command() -> None:
    assert set(CLI_SECTIONS) - {""} == set(main.commands)


class _Recorder(dict[str, str]):
    """An environment that knows what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]  # texts alone are asked for
        self.asked.add(name)
        return default


def test_a_variable_has_an_entry_and_an_entry_is_of_a_variable() -> None:
    environ = _Recorder()
    read_settings(environ)
    assert len(environ.asked) == len(fields(Settings))
    deployment = set(re.findall(r'environ\.get\("([A-Z_]+)"', (ROOT / "gunicorn.conf.py").read_text("utf-8")))
    listed = {name for name in table_rows(page("settings.md")) if re.fullmatch("[A-Z_]+", name)}
    assert listed == environ.asked | deployment


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_has_a_page(name: str) -> None:
    assert f"provider: {name}" in page(f"providers/{name}.md")


def _exceptions() -> list[tuple[str, type[Exception]]]:
    return [
        (name, kind)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == errors.__name__
    ]


@pytest.mark.parametrize(("name", "kind"), _exceptions())
def test_an_exception_stands_in_the_tree_below_its_base(name: str, kind: type[Exception]) -> None:
    tree = (errors.__doc__ or "").splitlines()
    found: dict[str, tuple[int, int]] = {}
    for number, line in enumerate(tree):
        if match := re.match(r"([│├└─ ]*)([A-Z][A-Za-z]+)", line):
            found.setdefault(match[2], (number, len(match[1])))
    number, depth = found[name]
    above = [word for word, (at, own) in found.items() if at < number and own < depth]
    assert above[-1:] == ([] if kind is errors.RouterError else [kind.__mro__[1].__name__])


# --- the texts themselves ---------------------------------------------------------------------------------------------


def test_no_command_sets_variables_for_a_shell_that_is_gone() -> None:
    """`. file && command &` runs all of it in a shell in the background: the next line would not have them."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "rules").rglob("*.md")]
    lines = [line for path in pages for line in path.read_text("utf-8").splitlines()]
    assert [line for line in lines if re.search(r"\. \./\S+ && .* &( |$)", line)] == []


@pytest.mark.parametrize("name", ["sources.md", "cli.md"])
def test_a_link_leads_somewhere(name: str) -> None:
    text = page(name)
    own = list(_anchors(text))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        if file:
            assert (ROOT / "docs" / file).exists(), target
        anchors = own if not file else list(_anchors(page(file)))
        assert not anchor or anchor in anchors, target


def _anchors(text: str) -> Iterator[str]:
    """Anchors of the headings as GitHub makes them."""
    seen: dict[str, int] = {}
    for name, texts in sections(text, 1).items():
        for _ in texts:
            slug = re.sub(r"[^a-z0-9 _-]", "", name.lower()).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            yield slug if not count else f"{slug}-{count}"
