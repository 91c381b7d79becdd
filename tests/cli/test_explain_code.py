"""`check --explain CODE` prints what the manual says, without looking at any rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import router
from router.cli.main import main

MANUAL = (Path(router.__file__).parents[1] / "docs" / "rules.md").read_text("utf-8")
CODES = re.findall(r"^### (.+)$", MANUAL.partition("\n## Check codes\n")[2], re.MULTILINE)


@pytest.fixture(autouse=True)
def no_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROUTER_RULES", str(tmp_path / "nowhere"))


def explained(code: str) -> Result:
    return CliRunner().invoke(main, ["check", "--explain", code])


def test_a_code_is_explained_with_both_examples() -> None:
    said = explained("unknown-path")
    assert said.exit_code == 0
    lines = said.output.splitlines()
    assert lines[0] == "unknown-path"
    assert lines[lines.index("wrong:") + 1] == "    set: {email: .customer.emial}"
    assert lines[lines.index("right:") + 1] == "    set: {email: .customer.email}"
    assert lines[-1] == "the whole manual: docs/rules.md"
    assert lines[2] in MANUAL.splitlines()


def test_a_longer_example_stays_yaml() -> None:
    lines = explained("secret-unset").output.splitlines()
    assert lines[lines.index("right:") + 1 :][:2] == ["    source:", "      secret: $env.SHOP_SECRET"]


@pytest.mark.parametrize("code", CODES)
def test_no_code_is_explained_in_the_signs_of_the_manual(code: str) -> None:
    said = explained(code).output
    assert said.startswith(f"{code}\n\n")
    assert "```" not in said
    assert re.search(r"\]\([a-z#]", said) is None
    assert not any(line.startswith("#") for line in said.splitlines()), "the next section is not part of it"


def test_a_link_is_its_text() -> None:
    assert "All are in Functions.\n" in explained("unknown-function").output
    assert "No preset has this name.\n" in explained("unknown-preset").output


@pytest.mark.parametrize("code", ["unknown-paht", "Functions", ""])
def test_another_word_lists_the_codes(code: str) -> None:
    said = explained(code)
    assert said.exit_code == 2
    assert "unknown-path, " in said.output
    assert ("did you mean 'unknown-path'? There are " in said.output) == (code == "unknown-paht")
    assert "yaml-limit" in said.output
