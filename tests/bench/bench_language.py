"""How fast expressions are, as ratios to a hand-written loop: `python -m tests.bench.bench_language`.

The yardstick Y is the fastest run of `for k in ("data", "object", "email"): v = v[k]` with its `try`. No test fails by
time: the goals are printed beside what was measured.
"""

from __future__ import annotations

import timeit
from typing import Any

from router.ruleset.language import Context, compile_value

EVENT = {
    "id": "evt_1PzXyZ",
    "livemode": True,
    "data": {
        "object": {
            "id": "cus_QaXyZ123",
            "balance": -2500,
            "email": " Jane.Doe@Example.COM ",
            "name": "Jane Doe",
            "metadata": {"user_id": "u_1001", "plan": "pro"},
            "phone": None,
        }
    },
}

#: what is measured, its text, the goal in Y
RUNS = [
    ("path of three keys", ".data.object.email", 1.5),
    (
        "three paths with else, the last one present",
        ".data.object.nick else .data.object.alias else .data.object.email",
        12,
    ),
    ("a path, trim and lower", ".data.object.email | trim | lower", 6),
    (
        "three comparisons with and",
        '.data.object.balance < 0 and .data.object.name == "Jane Doe" and .data.object.id != "x"',
        14,
    ),
]
COMPILES = [
    ("parse and compile: a path", ".data.object.email"),
    ("parse and compile: a default", '.data.object.metadata.plan else "free"'),
    ("parse and compile: two functions", ".data.object.email | trim | lower"),
    ("parse and compile: a filter", ".data.email_addresses[.id == $.data.primary_email_address_id].email_address"),
    ("parse and compile: three comparisons", RUNS[3][1]),
]
COMPILE_GOAL = 400


YARDSTICK = """
v = event
try:
    for k in ("data", "object", "email"):
        v = v[k]
except (KeyError, TypeError):
    pass
"""


def compare_us(code: str, namespace: dict[str, Any], number: int) -> tuple[float, float]:
    """Microseconds of the yardstick and of one run of `code`: the fastest of many, taken in turns."""
    yardstick = timeit.Timer(YARDSTICK, globals={"event": EVENT})
    work = timeit.Timer(code, globals=namespace)
    turns = [(yardstick.timeit(2_000) / 2_000, work.timeit(number) / number) for _ in range(200)]
    return min(y for y, _ in turns) * 1e6, min(us for _, us in turns) * 1e6


def main() -> None:
    for name, text, goal in RUNS:
        show(
            name,
            *compare_us("run(context)", {"run": compile_value(text, tables={}).run, "context": Context(EVENT)}, 1_000),
            goal,
        )
    for name, text in COMPILES:
        show(name, *compare_us("compile(text, tables={})", {"compile": compile_value, "text": text}, 50), COMPILE_GOAL)


def show(name: str, y: float, us: float, goal: float | None = None) -> None:
    """One line; without a goal no verdict."""
    ratio = us / y
    verdict = "" if goal is None else f"   goal {goal:5} Y   {'holds' if ratio <= goal else 'MISSED'}"
    print(f"{name:<51} {us:8.3f} µs   Y {y:.3f} µs   {ratio:6.1f} Y{verdict}")


if __name__ == "__main__":
    main()
