"""`test --update`: it shows, asks, and writes a file whole or not at all."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli.main import main
from router.settings import read_rules
from tests.ruleset.test_docs import FIRST

EXAMPLE = Path(__file__).parents[2] / "rules"
OLD, NEW = "country: KR, plan: free,", "country: KE, plan: basic,"


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example project, with two values in one of its tests that are not so."""
    directory = tmp_path / "rules"
    (directory / "samples").mkdir(parents=True)
    files, samples = read_rules(EXAMPLE)
    for name, data in files.items():
        (directory / name).write_bytes(data)
    for name, data in samples.items():
        (directory / "samples" / name).write_bytes(data)
    path = directory / "stripe.yaml"
    assert path.read_text().count(OLD) == 1
    path.write_text(path.read_text().replace(OLD, NEW))
    monkeypatch.chdir(tmp_path)
    return directory


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["test", "rules", *words])


def left(rules: Path) -> list[str]:
    """The files in the directory."""
    return sorted(path.name for path in rules.iterdir() if path.is_file())


def test_the_difference_is_shown_and_written_on_yes(rules: Path) -> None:
    before = left(rules)
    os.chmod(rules / "stripe.yaml", 0o640)
    said = run("--update", "--yes")
    assert said.exit_code == 0, said.output
    assert said.output.startswith("--- rules/stripe.yaml\n+++ rules/stripe.yaml\n@@ ")
    assert f"\n-            - {{euid: 10362473, type: set, properties: {{name: Jane Doe, {NEW} " in said.output
    assert f"\n+            - {{euid: 10362473, type: set, properties: {{name: Jane Doe, {OLD} " in said.output
    assert "\n1 test brought up to date\n" in said.output
    assert said.output.splitlines()[-1].startswith("14 passed, 0 failed; ")
    assert (rules / "stripe.yaml").read_bytes() == (EXAMPLE / "stripe.yaml").read_bytes()
    assert stat.S_IMODE((rules / "stripe.yaml").stat().st_mode) == 0o640
    assert left(rules) == before


def test_what_a_new_test_expects_is_filled_in_as_the_manual_says(rules: Path) -> None:
    (rules / "samples").rename(rules / "old")
    (rules / "samples").mkdir()
    for path in rules.glob("*.yaml"):
        path.unlink()
    for name, data in FIRST.items():
        (rules / name).write_bytes(data)
    path = rules / "shop.yaml"
    text, _, _ = path.read_text().partition("        expect:\n")
    path.write_text(text + "        expect: {profile: {}, crm: {}}\n")
    assert run("--update", "--yes").exit_code == 0
    profile = '{user: "17", set: {email: ann@example.com, name: Ann Lee, plan: free}}'
    crm = "{attributes: {email: ann@example.com, name: Ann Lee, plan: free}}"
    lines = ["expect:", f"  profile: {profile}", f"  crm: {crm}"]
    assert path.read_text() == text + "".join(f"        {line}\n" for line in lines)


def test_a_project_without_tests_is_told_how_to_begin(rules: Path) -> None:
    for path in (*rules.glob("*.yaml"), *rules.glob("samples/*")):
        path.unlink()
    for name, data in FIRST.items():
        (rules / name).write_bytes(data)
    path = rules / "shop.yaml"
    text, _, _ = path.read_text().partition("    tests:\n")
    path.write_text(text)
    said = run()
    assert said.exit_code == 0
    first, second, *example, _ = said.output.splitlines()[-5:]
    assert first.startswith("0 passed, 0 failed; 0 of 1 rules")
    assert second == "no tests yet: write under a rule"
    path.write_text("\n".join([text.rstrip("\n"), *example]) + "\n")
    assert run("--update", "--yes").output.splitlines()[-1].startswith("1 passed, 0 failed; 1 of 1 rules")
    assert 'profile: {user: "17"' in path.read_text()
    assert "no tests yet" not in run().output
    for path in rules.glob("samples/*"):
        path.unlink()
    (rules / "shop.yaml").write_text(text)
    assert "no tests yet: record a request as samples/" in run().output


def test_without_a_terminal_nothing_is_written(rules: Path) -> None:
    text = (rules / "stripe.yaml").read_text()
    said = run("--update")
    assert said.exit_code == 2
    assert "error: nothing is written without --yes" in said.output
    assert f"+            - {{euid: 10362473, type: set, properties: {{name: Jane Doe, {OLD}" in said.output
    assert (rules / "stripe.yaml").read_text() == text


def at_a_terminal(answer: str) -> tuple[int, str]:
    """Run the command with a terminal for input, and answer it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "router", "test", "rules", "--update"]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parent)}
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, text=True, env=environment) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        said, _ = process.communicate(timeout=60)
        os.close(ours)
    return process.returncode, said


def test_at_a_terminal_it_asks(rules: Path) -> None:
    code, said = at_a_terminal("\n")
    assert (code, said.count("Continue? [y/N] ")) == (1, 1)
    assert NEW in (rules / "stripe.yaml").read_text()
    code, said = at_a_terminal("y\n")
    assert code == 0
    assert said.splitlines()[-1].startswith("14 passed, 0 failed; ")
    assert (rules / "stripe.yaml").read_bytes() == (EXAMPLE / "stripe.yaml").read_bytes()


def test_where_nothing_fails_nothing_is_asked(rules: Path) -> None:
    assert run("stripe/cancelled", "--update").exit_code == 0
    assert NEW in (rules / "stripe.yaml").read_text(), "another rule was named"


def test_what_cannot_be_updated_is_told_and_still_fails(rules: Path) -> None:
    path = rules / "stripe.yaml"
    path.write_text(
        path.read_text().replace("with: {.data.object.livemode: false}", "with: {.data.object.livemode: true}")
    )
    said = run("--update", "--yes")
    assert said.exit_code == 1
    assert (
        "\nstays rules/stripe.yaml:44 stripe/customer: test mode is ignored\n"
        "     it gives a change now, which has no reason: take because out first\n"
    ) in said.output
    assert said.output.splitlines()[-1].startswith("13 passed, 1 failed; ")
    again = run("--update")
    assert again.exit_code == 1, "there is nothing to write, so nothing is asked"
    assert again.output.startswith("stays rules/stripe.yaml:44 ")


def test_a_link_stays_a_link(rules: Path) -> None:
    real = rules.parent / "real.yaml"
    (rules / "stripe.yaml").rename(real)
    (rules / "stripe.yaml").symlink_to(real)
    assert run("--update", "--yes").exit_code == 0
    assert (rules / "stripe.yaml").is_symlink()
    assert real.read_bytes() == (EXAMPLE / "stripe.yaml").read_bytes()


def test_a_file_that_cannot_be_written_stays_whole(rules: Path) -> None:
    text = (rules / "stripe.yaml").read_text()
    (rules / f".stripe.yaml.{os.getpid()}").mkdir()
    said = run("--update", "--yes")
    assert said.exit_code == 2
    assert "stripe.yaml cannot be written: " in said.output
    assert (rules / "stripe.yaml").read_text() == text


def test_a_file_that_another_wrote_meanwhile_stays(rules: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "router", "test", "rules", "--update"]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, stdin=theirs, env=environment, **pipes) as process:  # type: ignore[call-overload]
        os.close(theirs)
        said = b""
        while b"Continue?" not in said:
            said += process.stdout.read(1)
        (rules / "stripe.yaml").write_text("# mine\n")
        os.write(ours, b"y\n")
        _, error = process.communicate(timeout=60)
        os.close(ours)
    assert process.returncode == 2
    assert b"stripe.yaml was changed meanwhile: it stays as it is" in error
    assert (rules / "stripe.yaml").read_text() == "# mine\n"
    assert not any(name.startswith(".") for name in left(rules))


def test_a_diff_is_no_json(rules: Path) -> None:
    assert run("--update", "--json").exit_code == 2
