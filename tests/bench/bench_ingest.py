"""Durable verified ingest beside a Flask view that returns a constant, both behind the same gunicorn on loopback.

Run: `python -m tests.bench.bench_ingest [seconds]`. One worker process, 32 kept-alive connections, 2 KB signed JSON, a
fresh SQLite store each run. Prints requests per second, their ratio and the worker's CPU per request, each the median
of three alternating runs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from tests.web.conftest import ROOT, RULES, SECRET, Gunicorn

CONNECTIONS = 32
PROCESSES = 2

#: the same source without verification
OPEN = b"""
source:
  name: open
  verify: {scheme: none}
  allow_unauthenticated: true
  identity: {type: .type, id: .id, time: .at}
rules: {}
"""
CONSTANT = """
from flask import Flask
app = Flask("constant")
@app.route("/webhooks/shop", methods=["POST"])
def constant():
    return "{}", 200, {"Content-Type": "application/json"}
@app.route("/healthz")
def healthz():
    return "ok"
"""


def load(port: int, seconds: float, offset: int, source: str) -> list[float]:
    """Post to a source from `CONNECTIONS / PROCESSES` connections; the seconds each answer took."""
    took: list[float] = []
    end = time.monotonic() + seconds

    def sender(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        count = 0
        while time.monotonic() < end:
            count += 1
            event = {"type": "person.changed", "id": f"{offset}-{number}-{count}", "at": "2026-11-22T10:00:00Z"}
            body = json.dumps({**event, "note": "x" * 1_900}).encode()
            signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            started = time.monotonic()
            headers = {"Content-Type": "application/json", "X-Signature": signature}
            connection.request("POST", f"/webhooks/{source}", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"status {answer.status}")
            took.append(time.monotonic() - started)
        connection.close()

    threads = [threading.Thread(target=sender, args=(n,)) for n in range(CONNECTIONS // PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


class Figures(NamedTuple):
    """What one run gave."""

    per_s: float
    p99_ms: float
    #: of the worker process, per request
    cpu_us: float


def cpu_s(parent: int) -> float:
    """CPU seconds of the children of a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ticks = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13] for child in children]
    return sum(int(tick) for pair in ticks for tick in pair) / os.sysconf("SC_CLK_TCK")


def measure(application: str, seconds: float, path: str = "shop") -> Figures:
    """One run on a fresh store, to the source `shop` or, without verification, `open`."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "constant.py").write_text(CONSTANT)
        python_path = os.pathsep.join([directory, str(ROOT)])
        rules = Path(directory) / "rules"
        rules.mkdir()
        for name, text in {**RULES, "open.yaml": OPEN}.items():
            (rules / name).write_bytes(text)
        server = Gunicorn(Path(directory), application=application, PYTHONPATH=python_path)
        server.wait_until_it_answers()
        before = cpu_s(server.process.pid)
        command = [sys.executable, "-m", "tests.bench.bench_ingest", "--load", str(server.port), str(seconds)]
        loaders = [
            subprocess.Popen([*command, str(n), path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            for n in range(PROCESSES)
        ]
        took = [value for loader in loaders for value in json.loads(loader.communicate()[0])]
        cpu = cpu_s(server.process.pid) - before
        server.stop()
    return Figures(len(took) / seconds, statistics.quantiles(took, n=100)[98] * 1000, cpu / len(took) * 1e6)


def main(seconds: float) -> None:
    runs = [(measure("constant:app", seconds), measure("wsgi:app", seconds)) for _ in range(3)]
    ratio = statistics.median(ingest.per_s / constant.per_s for constant, ingest in runs)
    out: dict[str, float] = {"ratio": round(ratio, 2)}
    for place, name in enumerate(("constant", "ingest")):
        for key in Figures._fields:
            out[f"{name}_{key}"] = round(statistics.median(getattr(run[place], key) for run in runs), 1)
    print(json.dumps(out))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        print(json.dumps(load(int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
