"""`demo --serve` with rules of one's own: the line that it prints works, and it says what becomes of the rules."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.dispatch.conftest import wait
from tests.processes.test_processes import SOURCE, rules

__all__ = ["rules"]  # the fixture


def test_the_line_to_copy_works_and_refused_rules_are_told(rules: Path, tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    packages = str(Path(__file__).parents[2])
    with printed.open("wb") as file:
        environment = {**os.environ, "ROUTER_RULES": "rules", "PYTHONPATH": packages, "PYTHONUNBUFFERED": "1"}
        for name in ("DATABASE_URL", "ROUTER_SANDBOX", "ROUTER_URL", "PORT"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "router", "demo", "--serve"]
        served = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=file, stderr=file)
    try:
        wait(lambda: "Ctrl-C stops" in printed.read_text(), 30)
        (line,) = re.findall(r"^  (\. .*)$", printed.read_text(), re.M)
        bare = {"PATH": os.environ["PATH"], "PYTHONPATH": packages}
        sent = subprocess.run(["sh", "-c", line], cwd="/", env=bare, capture_output=True, text=True, check=False)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert "✓ delivered" in sent.stdout
        unset = subprocess.run(
            ["sh", "-c", line.partition(" && ")[2]], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
        )
        assert unset.returncode == 2
        assert "by sourcing the file that `make run` or `demo --serve` printed" in unset.stderr
        (rules / "crm.yaml").write_text(SOURCE.replace("plan: .plan", "plan: .plan | lowr"))
        wait(lambda: re.search(r"^rules/crm\.yaml:\S+ error\[unknown-function\]", printed.read_text(), re.M), 20)
        (rules / "crm.yaml").write_text(SOURCE)
        wait(lambda: re.search(r"^rules      \w+ runs$", printed.read_text(), re.M), 20)
    finally:
        served.send_signal(signal.SIGINT)
        assert served.wait(20) == 0
    assert printed.read_text().endswith("stopped    exit 0\n")
