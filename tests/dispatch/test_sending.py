"""Lanes against real providers' APIs (the sandbox): what goes out, and what happens when it does not arrive."""

from __future__ import annotations

import base64
import fcntl
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from router.cli.serving import Child
from router.dispatch.claims import claim
from router.dispatch.sender import pause_s
from router.model import DeliveryState
from router.profile.codec import load_registers, load_unsure
from router.sandbox import Fault, FaultKind
from router.store import lanes
from router.store.base import Store
from tests.dispatch.conftest import Bench, wait


def bodies(bench: Bench, name: str) -> list[Any]:
    return [json.loads(call.body) for call in bench.calls(name)]


def attributes(bench: Bench, user: str) -> dict[str, Any]:
    held = bench.sandbox.held("app", user)
    assert held is not None
    return held["attributes"]


def test_an_event_reaches_every_destination_of_its_rule(bench: Bench) -> None:
    bench.put("u1", email="A@Example.com", plan="pro", seats="12", source="web", tags=["b", "a"])
    for name in ("app", "ma", "bulk"):
        bench.send(name)
        assert bench.states(name) == ["delivered"]
    assert attributes(bench, "u1") == {
        "email": "a@example.com",
        "plan": "pro",
        "seats": 12,
        "source": "web",
        "tags": ["a", "b"],
    }
    assert bench.sandbox.held("bulk", "u1")["metadata"]["plan"] == "pro"
    assert [call.path.rpartition("/")[2] for call in bench.calls("ma")] == ["register", "property", "contact"]
    assert bench.rows("SELECT state FROM events") == [("routed",)]


def test_an_older_change_that_arrives_later_is_superseded(bench: Bench) -> None:
    bench.put("u1", at_s=60, plan="new")
    bench.send("app")
    bench.put("u1", at_s=0, plan="old")
    bench.send("app")
    assert bench.states("app") == ["delivered", "superseded"]
    assert attributes(bench, "u1") == {"plan": "new"}
    assert len(bench.calls("app")) == 1


def test_an_older_change_still_brings_what_the_newer_did_not_say(bench: Bench) -> None:
    bench.put("u1", at_s=60, plan="new")
    bench.send("app")
    bench.put("u1", at_s=0, plan="old", seats=3)
    bench.send("app")
    assert bench.states("app") == ["delivered", "delivered"]
    assert bodies(bench, "app")[1] == {"attributes": {"seats": 3}}


def test_values_that_are_held_already_need_no_call(bench: Bench) -> None:
    bench.put("u1", at_s=0, plan="pro", tags=["a"])
    bench.send("app")
    bench.put("u1", at_s=1, plan="pro", tags=["a"])
    bench.send("app")
    assert bench.states("app") == ["delivered", "unchanged"]
    assert len(bench.calls("app")) == 1


def test_pending_changes_of_one_person_are_one_call(bench: Bench) -> None:
    for n in range(20):
        bench.put("u1", at_s=n, plan=f"p{n}", **({"seats": n} if n == 3 else {}))
    bench.send("app")
    assert len(bench.calls("app")) == 1
    assert attributes(bench, "u1") == {"plan": "p19", "seats": 3}
    assert sorted(bench.states("app")) == ["delivered"] * 2 + ["superseded"] * 18


def test_a_change_without_a_field_for_a_destination_is_settled_at_once(bench: Bench) -> None:
    bench.put("u1", source="web")
    bench.route()
    assert bench.states("ma") == ["unchanged"]
    assert bench.rows("SELECT reason FROM deliveries WHERE destination = 'ma'") == [("no field for this destination",)]


def test_a_failed_call_is_tried_again_with_the_newest_state(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.STATUS, 500, count=2))
    bench.put("u1", at_s=0, plan="a")
    sender = bench.sender("app")
    bench.route()
    sender.start()
    wait(lambda: len(bench.calls("app")) >= 1)
    bench.put("u1", at_s=1, plan="b")
    bench.route()
    wait(lambda: "pending" not in bench.states("app"))
    assert bodies(bench, "app")[-1] == {"attributes": {"plan": "b"}}
    assert bench.states("app")[-1] == "delivered"
    outcomes = [row[0] for row in bench.rows("SELECT outcome FROM attempts ORDER BY id")]
    assert outcomes[:2] == ["retry", "retry"]
    assert outcomes[-1] == "delivered"


def test_a_value_goes_out_again_after_another_was_applied_without_a_reply(bench: Bench) -> None:
    bench.put("u1", at_s=0, plan="a")
    bench.send("app")
    bench.sandbox.fault("app", Fault(FaultKind.CUT, count=1))
    bench.put("u1", at_s=1, plan="b")
    bench.send("app", until=lambda: attributes(bench, "u1") == {"plan": "b"})
    bench.put("u1", at_s=2, plan="a")
    bench.send("app")
    assert attributes(bench, "u1") == {"plan": "a"}
    assert bench.states("app") == ["delivered", "superseded", "delivered"]
    assert [row[0] for row in bench.rows("SELECT ambiguous FROM attempts ORDER BY id")] == [False, True, False]


def test_the_same_content_has_the_same_key_and_newer_content_another(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.STATUS, 500, count=1))
    bench.put("u1", plan="a")
    bench.send("app")
    bench.put("u1", at_s=1, plan="b")
    bench.send("app")
    keys = [call.headers["idempotency-key"] for call in bench.calls("app")]
    assert keys[0] == keys[1] != keys[2]
    numbers = [call.headers["router-attempt"] for call in bench.calls("app")]
    assert len(set(numbers)) == 3


def test_a_throttled_destination_waits_as_a_whole_and_burns_no_try(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.STATUS, 429, {"Retry-After": "1"}, count=1))
    bench.put("u1", plan="a")
    bench.send("app", until=lambda: len(bench.calls("app")) == 1, slots=1)
    bench.put("u2", plan="a")
    bench.route()
    started = time.monotonic()
    bench.send("app")
    assert bench.states("app") == ["delivered", "delivered"]
    assert bench.calls("app")[1].arrive_us - bench.calls("app")[0].arrive_us > 900_000
    assert time.monotonic() - started < 10
    assert bench.rows("SELECT max(failures) FROM lanes") == [(0,)]


def test_a_denied_destination_keeps_its_queue_and_is_probed(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.STATUS, 401, count=1))
    bench.put("u1", plan="a")
    bench.send("app", until=lambda: bench.rows("SELECT state FROM destinations WHERE name = 'app'") == [("denied",)])
    assert bench.states("app") == ["pending"]
    bench.put("u2", plan="a")
    bench.send("app")  # the probe comes after 5 min, scaled
    assert bench.states("app") == ["delivered", "delivered"]
    assert bench.rows("SELECT state FROM destinations WHERE name = 'app'") == [("running",)]


def test_only_the_refused_change_becomes_a_dead_letter(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.STATUS, 400, contains="poison"))
    for n, plan in enumerate(["a", "b", "poison", "c"]):
        bench.put("u1", at_s=n, plan=plan, seats=n)
    bench.put("u1", at_s=-1, email="early@example.com")
    bench.send("app")
    # in version order: early, a, b, poison, c
    assert dict(zip("abpce", bench.states("app"), strict=True)) == {
        "a": "superseded",
        "b": "superseded",
        "p": "superseded",
        "c": "delivered",
        "e": "delivered",
    }, "a newer value makes the poison disappear before it is ever sent"


def test_a_refused_newest_change_leaves_the_older_ones_to_go_on(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.STATUS, 400, contains="poison"))
    for n, plan in enumerate(["a", "b", "c", "poison"]):
        bench.put("u1", at_s=n, plan=plan)
    bench.send("app")
    assert bench.states("app") == ["superseded", "superseded", "delivered", "rejected"]
    assert attributes(bench, "u1") == {"plan": "c"}
    bench.put("u1", at_s=10, plan="d")
    bench.send("app")
    assert attributes(bench, "u1") == {"plan": "d"}


def test_one_bad_person_in_a_batch_is_found(bench: Bench) -> None:
    bench.sandbox.fault("bulk", Fault(FaultKind.STATUS, 400, contains="poison"))
    for n in range(7):
        bench.put(f"u{n}", plan="poison" if n == 4 else "fine")
    bench.send("bulk", slots=1)
    assert bench.states("bulk") == ["delivered"] * 4 + ["rejected"] + ["delivered"] * 2
    first = bench.calls("bulk")[0]
    assert first.path.endswith("/users/batch")
    assert len(json.loads(first.body)) == 7
    numbers = [call.headers["router-attempt"] for call in bench.calls("bulk")]
    assert len(set(numbers)) == len(numbers)


def test_a_handle_is_kept_though_the_next_call_fails(bench: Bench) -> None:
    bench.sandbox.fault("ma", Fault(FaultKind.STATUS, 500, path="/v1/user/property", count=1))
    bench.put("u1", plan="pro")
    bench.send("ma")
    assert [call.path.rpartition("/")[2] for call in bench.calls("ma")] == ["register", "property", "property"]
    assert bench.states("ma") == ["delivered"]


def test_a_lapsed_lease_is_recorded_and_its_intent_is_unsure(bench: Bench) -> None:
    bench.put("u1", plan="a")
    bench.route()
    app = bench.project.destinations["app"]
    first = bench.store.write(lambda tx: claim(tx, app, 4, bench.times, bench.store.now_us(tx), "dead:1"))
    assert len(first.batches) == 1
    again = bench.store.write(lambda tx: claim(tx, app, 4, bench.times, bench.store.now_us(tx), "other:1"))
    assert again.batches == [], "a live lease keeps others out"
    bench.send("app")  # once the lease of 60 s (scaled) has lapsed
    assert bench.states("app") == ["delivered"]
    assert bench.rows("SELECT reason, token FROM attempts WHERE reason = 'lease lapsed'") == [
        ("lease lapsed", first.batches[0][0].row.token)
    ]


def test_what_a_lost_lease_did_is_discarded(bench: Bench) -> None:
    bench.put("u1", plan="a")
    bench.route()
    bench.sandbox.fault("app", Fault(FaultKind.LATENCY, seconds=0.5, count=1))
    sender = bench.sender("app")
    sender.start()
    wait(lambda: bench.rows("SELECT count(*) FROM lanes WHERE token IS NOT NULL") == [(1,)] or bool(bench.calls("app")))
    bench.store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET token = 'taken over' WHERE token IS NOT NULL"))
    wait(lambda: sender.lost == 1)
    (registers, unsure) = bench.rows("SELECT registers, unsure FROM lanes WHERE destination = 'app'")[0]
    assert load_registers(registers) == {}
    assert load_unsure(unsure) == {}
    assert bench.states("app") == ["pending"]


def test_a_change_that_arrives_while_its_lane_is_busy_is_not_forgotten(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.LATENCY, seconds=0.4, count=1))
    bench.put("u1", at_s=0, plan="a")
    sender = bench.sender("app")
    bench.route()
    sender.start()
    wait(lambda: bench.rows("SELECT count(*) FROM lanes WHERE destination = 'app' AND token IS NOT NULL") == [(1,)])
    bench.put("u1", at_s=1, plan="b")
    bench.route()
    wait(lambda: "pending" not in bench.states("app"))
    assert attributes(bench, "u1") == {"plan": "b"}
    assert bench.rows("SELECT due_at FROM lanes WHERE destination = 'app'") == [(None,)]


def test_a_delivery_that_ends_its_worker_becomes_a_dead_letter(bench: Bench) -> None:
    bench.put("u1", at_s=0, plan="a")
    bench.put("u1", at_s=1, seats=1)
    bench.route()
    app = bench.project.destinations["app"]
    folded = []
    while True:
        now = bench.rows("SELECT state FROM deliveries WHERE destination = 'app' AND state = 'pending'")
        if not now:
            break
        claimed = bench.store.write(lambda tx: claim(tx, app, 4, bench.times, bench.store.now_us(tx), "dies:1"))
        folded += [sorted(lane.result.sending) for batch in claimed.batches for lane in batch]
        bench.store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET leased_until = 0"))
    assert folded[:3] == [["plan", "seats"]] * 3
    assert folded[3] == ["seats"], "then the newer half alone"
    assert bench.states("app") == ["rejected", "rejected"]
    assert all("crashed" in row[0] for row in bench.rows("SELECT reason FROM deliveries WHERE destination = 'app'"))


def test_nothing_is_sent_when_the_call_could_outlive_the_lease(bench: Bench) -> None:
    bench.put("u1", plan="a")
    bench.route()
    sender = bench.sender("app")
    app = bench.project.destinations["app"]
    claimed = bench.store.write(lambda tx: claim(tx, app, 1, bench.times, bench.store.now_us(tx), "test:1"))
    from router.dispatch.sender import Work
    from router.dispatch.settling import Verdict

    verdict = Verdict()
    sender._process(Work(claimed.batches[0], time.monotonic() + 1, time.monotonic()), verdict)
    assert bench.calls("app") == []
    ((row, wait_us),) = verdict.settlements
    assert (row.failures, wait_us) == (0, bench.times.us(1))
    assert bench.store.write(lambda tx: lanes.settle(tx, [row], bench.store.now_us(tx))) == [True]
    assert bench.states("app") == ["pending"]


def test_a_dead_destination_slows_no_other(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.LATENCY, seconds=3, count=50))
    for n in range(20):
        bench.put(f"u{n}", plan="a")
    bench.route()
    slow, quick = bench.sender("app", slots=2), bench.sender("bulk")
    slow.start()
    quick.start()
    wait(lambda: set(bench.states("bulk")) == {"delivered"}, timeout_s=2.5)
    assert DeliveryState.PENDING in bench.states("app")
    bench.sandbox.heal("app")


def test_a_stop_finishes_open_calls_and_claims_nothing_more(bench: Bench) -> None:
    bench.sandbox.fault("app", Fault(FaultKind.LATENCY, seconds=0.3))
    for n in range(6):
        bench.put(f"u{n}", plan="a")
    bench.route()
    sender = bench.sender("app", slots=2)
    sender.start()
    wait(lambda: len(bench.calls("app")) == 2)
    sender.stop()
    assert sender.join(5)
    assert sorted(bench.states("app")) == ["delivered"] * 2 + ["pending"] * 4
    assert bench.rows("SELECT count(*) FROM lanes WHERE token IS NOT NULL") == [(0,)]


def test_calls_keep_to_the_rate_of_the_destination(bench: Bench) -> None:
    from dataclasses import replace

    limited = replace(bench.project.destinations["app"], rate=(4, 4.0))
    bench.project.destinations["app"] = limited  # type: ignore[index]
    for n in range(8):
        bench.put(f"u{n}", plan="a")
    bench.send("app")
    arrivals = [call.arrive_us for call in bench.calls("app")]
    assert len(arrivals) == 8
    assert arrivals[-1] - arrivals[0] > 700_000, "eight calls at four a second, four of them at once"


def test_a_lane_with_more_than_one_claim_folds_is_finished(bench: Bench) -> None:
    for n in range(600):
        bench.put("u1", at_s=n, plan=f"p{n}")
    bench.send("app")
    assert attributes(bench, "u1") == {"plan": "p599"}
    assert bench.rows("SELECT due_at FROM lanes WHERE destination = 'app'") == [(None,)]


def test_the_older_half_goes_on_after_leases_that_lapsed(bench: Bench) -> None:
    for n, plan in enumerate("abcd"):
        bench.put("u1", at_s=n, plan=plan, **({"seats": 1} if n == 0 else {}))
    bench.route()
    app = bench.project.destinations["app"]
    for _ in range(3):
        bench.store.write(lambda tx: claim(tx, app, 1, bench.times, bench.store.now_us(tx), "dies:1"))
        bench.store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET leased_until = 0"))
    bench.send("app")
    assert bench.states("app") == ["delivered", "superseded", "superseded", "delivered"]
    assert attributes(bench, "u1") == {"plan": "d", "seats": 1}


def test_what_a_lapsed_lease_may_have_sent_is_still_unsure_after_the_next_crash(bench: Bench) -> None:
    app = bench.project.destinations["app"]
    bench.put("u1", at_s=0, plan="a")
    bench.send("app")
    bench.put("u1", at_s=1, plan="b")
    bench.route()
    for change in ({"seats": 1}, {"seats": 2}):
        bench.store.write(lambda tx: claim(tx, app, 1, bench.times, bench.store.now_us(tx), "dies:1"))
        bench.store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET leased_until = 0"))
        bench.store.write(lambda tx: tx.exec_driver_sql("DELETE FROM deliveries WHERE state = 'pending'"))
        bench.put("u1", at_s=2, **change)
        bench.route()
    assert "plan" in load_unsure(bench.rows("SELECT unsure FROM lanes WHERE destination = 'app'")[0][0])
    bench.put("u1", at_s=3, plan="a")
    bench.send("app")
    assert bodies(bench, "app")[-1]["attributes"]["plan"] == "a"


def test_a_destination_that_turns_us_away_gets_no_more_of_what_was_claimed(bench: Bench) -> None:
    for n in range(40):
        bench.put(f"u{n}", plan="a")
    bench.route()
    bench.sandbox.fault("app", Fault(FaultKind.STATUS, 429, {"Retry-After": "600"}))
    sender = bench.sender("app", slots=2)
    sender._average_s = 0.0  # conversations were short so far: it claims ahead
    sender.start()
    wait(lambda: bench.rows("SELECT resume_at > 0 FROM destinations WHERE name = 'app'")[0][0])
    sender.stop()
    assert sender.join(5)
    assert len(bench.calls("app")) <= 2
    assert bench.rows("SELECT count(*), max(failures) FROM lanes WHERE destination = 'app' AND token IS NULL") == [
        (40, 0)
    ]


def test_work_that_is_still_waiting_for_a_slot_goes_back_at_a_stop(bench: Bench) -> None:
    for n in range(20):
        bench.put(f"u{n}", plan="a")
    bench.route()
    bench.sandbox.fault("app", Fault(FaultKind.HOLD))
    sender = bench.sender("app", slots=1)
    sender._average_s = 0.0
    sender.start()
    wait(lambda: len(bench.calls("app")) == 1)
    sender.stop()
    bench.sandbox.heal("app")
    assert sender.join(5)
    assert len(bench.calls("app")) == 1
    assert bench.rows("SELECT count(*) FROM lanes WHERE token IS NOT NULL") == [(0,)]


def test_a_long_outage_of_the_store_ends_no_thread() -> None:
    assert [pause_s(n) for n in (1, 2000)] == [0.1, 5.0]
    child = Child("x", ["false"], {}, failures=5000)
    child.process = subprocess.Popen(["false"])
    child.process.wait()
    child.keep_alive(0.0)
    assert child.not_before == 32.0


def test_credentials_are_taken_out_of_what_is_kept_in_any_form(bench: Bench) -> None:
    bench.sandbox.fault("ma", Fault(FaultKind.ECHO))
    bench.put("u1", plan="pro")
    bench.send("ma")
    (reply,) = {row[0] for row in bench.rows("SELECT reply FROM attempts WHERE destination = 'ma'")}
    assert "***" in reply
    assert "sandbox-not-a-secret" not in reply
    assert base64.b64encode(b"sandbox-not-a-secret-ma-key").decode()[:-4] not in reply


def test_a_claim_whose_commit_came_too_late_burns_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.put("u1", plan="a")
    bench.route()
    with hold_writes(bench.store):
        sender = bench.sender("app")
        sender.start()
        wait(lambda: "the store is away" in caplog.text)
    wait(lambda: "pending" not in bench.states("app"))
    assert bench.states("app") == ["delivered"]
    assert len(bench.calls("app")) == 1
    assert bench.rows("SELECT reason FROM attempts") == [("",)]


@contextmanager
def hold_writes(store: Store) -> Iterator[None]:
    """Let no write of the store come to its end, as another process does that writes for long."""
    if store.dialect == "sqlite":
        with store.read() as tx:
            path = tx.exec_driver_sql("PRAGMA database_list").all()[0][2]
        with Path(f"{path}.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with store.read() as tx:
        url = tx.engine.url.render_as_string(hide_password=False)
    engine = create_engine(url)
    with engine.connect() as other, other.begin():
        other.exec_driver_sql("LOCK TABLE lanes, destinations IN ACCESS EXCLUSIVE MODE")
        yield
    engine.dispose()
