"""The pages of `docs/sources/`: each says what its preset and its shipped examples say."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from router.ruleset import Project, load
from router.ruleset.language import MISSING, compile_value
from router.ruleset.samples import open_sample, read_sample
from router.sources import PRESETS
from router.sources.examples import DIRECTORY, examples_of
from tests.test_docs import DESTINATION, ROOT, page, sections, table_rows

PAGES = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "docs" / "sources").glob("*.md"))}
SECTIONS = [
    "Connect",
    "Rule file",
    "Sample",
    "Identity",
    "Events worth mapping",
    "What is signed",
    "Retries and quirks",
    "Try it",
]
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def section(name: str, heading: str) -> str:
    """The text under a heading of a page."""
    (text,) = sections(PAGES[name], 2)[heading]
    return text


def block(name: str, heading: str, language: str = "") -> str:
    """The fenced block under a heading."""
    found = re.search(rf"^```{language}\n(.*?)^```", section(name, heading), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{name}: no block under {heading}"
    return found[1]


def cells(name: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    lines = [line for line in section(name, heading).splitlines() if line.startswith("|")][2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def users(name: str) -> list[str]:
    """What the page advises for `user:`."""
    return [path.strip("`") for part, path, _ in cells(name, "Identity") if part == "`user:`"]


@cache
def project_of(name: str) -> Project:
    """The source of the page, with one rule."""
    rules = f"to: moesif\nrules: {{any: {{user: '{users(name)[0]}', set: {{city: Bergen}}}}}}\n"
    files = {"destinations.yaml": DESTINATION, "sender.yaml": (block(name, "Rule file", "yaml") + rules).encode()}
    return load(files, {}, reveal=str)


def opened(name: str, path: Path) -> Any:
    """The payload of an example, as the source of the page opens it."""
    sample = read_sample(f"{name}.{path.stem}.json", path.read_bytes())
    (found,) = open_sample(sample, project_of(name).sections[name])
    return found


def test_every_preset_has_a_page_and_every_page_a_preset() -> None:
    assert set(PAGES) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_page_has_its_sections(name: str) -> None:
    assert [line[3:] for line in PAGES[name].splitlines() if line.startswith("## ")] == SECTIONS
    assert re.match(r"# \S.*\n\n\S", PAGES[name])
    assert all(section(name, heading).strip() for heading in SECTIONS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_page_cites_what_the_preset_cites(name: str) -> None:
    assert f"]({PRESETS[name]['docs']})" in PAGES[name].partition("\n## ")[0]


@pytest.mark.parametrize("name", PRESETS)
def test_the_source_of_a_page_loads_and_takes_the_preset(name: str) -> None:
    found = project_of(name)
    assert list(found.sources) == [name]
    assert found.sections[name].preset_name == name
    assert f"https://<your host>/webhooks/{name}" in PAGES[name] or "https://<your host>/webhooks/<name>" in PAGES[name]


@pytest.mark.parametrize("name", PRESETS)
def test_the_sample_of_a_page_is_a_shipped_one_and_it_names_all_others(name: str) -> None:
    links = re.findall(r"\]\(\.\./\.\./router/sources/examples/([^)]+)\)", section(name, "Sample"))
    assert sorted(links) == sorted(example.path.name for example in examples_of(name))
    assert json.loads(block(name, "Sample", "json")) == json.loads((DIRECTORY / links[0]).read_bytes())
    kinds = re.findall(r"`([^`]+)`", section(name, "Sample").partition("```")[0])
    assert sorted(kinds) == sorted(opened(name, DIRECTORY / link).event.type for link in links)


@pytest.mark.parametrize("name", PRESETS)
def test_the_identity_of_a_page_is_the_presets(name: str) -> None:
    rows = {part: path for part, path, _ in cells(name, "Identity") if part != "`user:`"}
    identity = PRESETS[name]["identity"]
    assert rows == {
        part: f"`{identity[part]}`" if part in identity else "nothing" for part in ("type", "id", "time", "version")
    }


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_page_advises_for_user_is_in_its_sample(name: str) -> None:
    link = re.findall(r"\]\(\.\./\.\./router/sources/examples/([^)]+)\)", section(name, "Sample"))[0]
    found = opened(name, DIRECTORY / link)
    context = project_of(name).context(found.event, found.value)
    assert users(name)
    for path in users(name):
        assert compile_value(path, tables={}).run(context) is not MISSING, path


@pytest.mark.parametrize("name", PRESETS)
def test_the_events_of_a_page_include_every_shipped_one(name: str) -> None:
    patterns = [word for first, _ in cells(name, "Events worth mapping") for word in re.findall(r"`([^`]+)`", first)]
    kinds = {opened(name, example.path).event.type for example in examples_of(name)}
    globs = [re.compile(".*".join(map(re.escape, pattern.split("*")))) for pattern in patterns]
    assert all(any(glob.fullmatch(kind) for glob in globs) for kind in kinds)


@pytest.mark.parametrize("name", PRESETS)
def test_the_manual_links_the_page(name: str) -> None:
    presets = page("sources.md").partition("\n## Presets\n")[2]
    assert name in table_rows(presets)
    assert f"](sources/{name}.md)" in presets


@pytest.mark.parametrize("name", PRESETS)
def test_a_link_of_a_page_leads_somewhere(name: str) -> None:
    for target in _LINK.findall(PAGES[name]):
        if not target.startswith("https://"):
            assert (ROOT / "docs" / "sources" / target).is_file(), target
