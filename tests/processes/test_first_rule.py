"""The first rule of the manual, run as the manual says."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from router.cli.main import main
from router.cli.stack import Stack
from tests.ruleset.test_docs import FENCE, FIRST, SECTIONS


def plain(text: str) -> str:
    """What changes from run to run taken out: port, size, ids and times."""
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    text = re.sub(r"\d+ bytes|\d+ ms|\d+\.\d\d s|\b\d\d:\d\d:\d\d\b", "N", text)
    return re.sub(r"\b(ev|rt)_\w+", "ID", text)


def test_the_first_rule_runs_as_the_manual_shows(tmp_path: Path) -> None:
    rules = tmp_path / "my-rules"
    (rules / "samples").mkdir(parents=True)
    for name, data in FIRST.items():
        (rules / name).write_bytes(data)
    (shown,) = [body for _, _, body in FENCE.findall(SECTIONS["Running it"]) if "--wait" in body]
    said = []
    with Stack(rules, tmp_path):
        for line in shown.splitlines():
            if line.startswith("$ "):
                said.append(line)
            if line.startswith("$ router "):
                done = CliRunner().invoke(main, line.split()[2:])
                assert done.exit_code == 0, done.output
                said.append(done.output.rstrip("\n"))
    assert plain("\n".join(said)) == plain(shown.rstrip("\n"))
