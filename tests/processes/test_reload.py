"""Rules that change under running processes: new ones are taken over, broken ones never are, whoever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from router.cli.stack import Stack
from router.errors import TransportError
from router.model import Call
from router.sandbox import Fault, FaultKind
from router.store import migrations
from tests.dispatch.conftest import wait
from tests.processes.test_processes import SOURCE, rules, send, settled, workers_of

__all__ = ["rules"]  # the fixture

RENAMED = SOURCE.replace("plan: .plan", 'plan: "{.plan} plan"')
BROKEN = SOURCE.replace("plan: .plan", "plan: .plan | lowr")


def ready(stack: Stack) -> dict[str, Any]:
    """What `/readyz` says, nothing while nobody answers."""
    try:
        reply = stack.door.send(Call("GET", f"{stack.settings.url}/readyz"), session="ready", timeout_s=5.0)
    except TransportError:
        return {}
    body: dict[str, Any] = json.loads(reply.body)
    return body


def plan_of(stack: Stack, user: str) -> Any:
    held = stack.sandbox.held("app", user)
    return None if held is None else held["attributes"].get("plan")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def web_worker(stack: Stack) -> int | None:
    """The process under gunicorn that answers, if one is there."""
    assert stack.process is not None
    masters = [pid for pid in children(stack.process.pid) if b"gunicorn" in command_of(pid)]
    return next((worker for master in masters for worker in children(master)), None)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_changed_directory_is_taken_over_and_a_broken_one_is_not(
    kind: str, rules: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = None
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url")
        migrations.upgrade(url)
    with Stack(rules, tmp_path, database_url=url) as stack:
        wait(lambda: len(workers_of(stack)) == 1)
        first = ready(stack)["revision"]
        assert send(stack, "u1", "e1", plan="pro") == 200
        wait(lambda: plan_of(stack, "u1") == "pro")

        (rules / "crm.yaml").write_text(RENAMED)
        wait(lambda: ready(stack).get("revision") != first, 20)
        second = ready(stack)["revision"]
        wait(lambda: f"runs the rules {second}" in stack.log.read_text(), 20)
        assert send(stack, "u2", "e2", plan="pro") == 200
        wait(lambda: plan_of(stack, "u2") == "pro plan")

        (rules / "crm.yaml").write_text(BROKEN)
        wait(lambda: "refused" in ready(stack), 20)
        assert ready(stack)["warnings"] == ["config_refused"]
        assert ready(stack)["revision"] == second

        worker = web_worker(stack)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        wait(lambda: web_worker(stack) not in {worker, None}, 20)
        wait(lambda: ready(stack).get("revision") == second, 20)
        assert ready(stack)["warnings"] == ["config_refused"]
        os.kill(workers_of(stack)[0], signal.SIGKILL)
        wait(lambda: len(workers_of(stack)) == 2, 20)
        assert send(stack, "u3", "e3", plan="pro") == 200
        wait(lambda: plan_of(stack, "u3") == "pro plan")

        assert stack.stop() == 0
        stack.start()
        assert ready(stack)["revision"] == second
        assert send(stack, "u4", "e4", plan="pro") == 200
        wait(lambda: plan_of(stack, "u4") == "pro plan")

        (rules / "crm.yaml").write_text(SOURCE)
        wait(lambda: ready(stack).get("revision") == first, 20)
        assert ready(stack)["warnings"] == []
        wait(lambda: settled(stack))
        with stack.store.read() as tx:
            trail = [tuple(row) for row in tx.exec_driver_sql("SELECT action, target FROM audit ORDER BY id")]
            routed = [row[0] for row in tx.exec_driver_sql("SELECT revision FROM events ORDER BY id")]
    refused = [line for line in stack.log.read_text().splitlines() if "on the disk are refused" in line]
    assert all(f"{rules}/crm.yaml:" in json.loads(line)["message"] for line in refused)
    processes = {json.loads(line)["process"] for line in refused}
    assert len(processes) >= 5, "the web, a worker, each again, and the command that started them"
    assert routed == [first, second, second, second]
    assert [each[0] for each in trail] == ["load rules", "load rules", "refuse rules", "load rules"]
    assert (trail[0][1], trail[1][1], trail[3][1]) == (first, second, first)


def test_calls_that_are_open_when_the_rules_change_are_finished(rules: Path, tmp_path: Path) -> None:
    with Stack(rules, tmp_path) as stack:
        wait(lambda: len(workers_of(stack)) == 1)
        stack.sandbox.fault("app", Fault(FaultKind.HOLD))
        assert send(stack, "u1", "e1", plan="pro") == 200
        wait(lambda: len(stack.sandbox.calls("app")) == 1)
        (rules / "crm.yaml").write_text(RENAMED)
        wait(lambda: "runs the rules" in stack.log.read_text(), 20)
        stack.sandbox.heal("app")
        wait(lambda: settled(stack), 30)
        assert plan_of(stack, "u1") == "pro"
        assert len(stack.sandbox.calls("app")) == 1
        assert len(workers_of(stack)) == 1, "the same process"


def test_a_start_with_broken_rules_and_none_that_ran_ends_with_2(rules: Path, tmp_path: Path) -> None:
    with Stack(rules, tmp_path) as stack:
        stack.stop()
        (rules / "crm.yaml").write_text(BROKEN)
        environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path / 'fresh.db'}"}
        for command in ("serve", "work"):
            run = subprocess.run(
                [sys.executable, "-m", "router", command], env=environment, capture_output=True, text=True, check=False
            )
            assert run.returncode == 2
            assert run.stderr.count("error[unknown-function]") == 1
    assert not (tmp_path / "fresh.db").exists()
