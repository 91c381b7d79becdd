"""`check --explain CODE` prints what the manual says, without looking at any rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import router
from router.cli.main import main

MANUAL = (Path(router.__file__).parents[1] / "docs" / "rules.md").read_text("utf-8")


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
    assert "```yaml wrong" in lines
    assert "```yaml right" in lines
    assert said.output.strip() in MANUAL
    assert not any(line.startswith("#") for line in lines), "the next section is not part of it"


def test_the_last_code_ends_with_the_manual() -> None:
    said = explained("yaml-limit")
    assert said.exit_code == 0
    assert MANUAL.endswith(said.output)


@pytest.mark.parametrize("code", ["unknown-paht", "Functions", ""])
def test_another_word_lists_the_codes(code: str) -> None:
    said = explained(code)
    assert said.exit_code == 2
    assert "unknown-path, " in said.output
    assert "yaml-limit" in said.output
