"""What it costs to verify and decode a webhook, as a ratio to `json.loads` of the same body, and what verification
costs of the throughput of ingest: `python -m tests.bench.bench_sources [seconds]`.

The body is a Stripe event of 2 KB. Ingest runs as in `bench_ingest`, with and without a signature, in turns. No test
fails by time: the goals are printed beside what was measured.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import timeit
from datetime import UTC, datetime

from router.model import Webhook
from router.ruleset import load
from router.sources import Source
from tests.bench.bench_ingest import measure

SECRET = "whsec_not_a_secret_of_stripe_0123456789"
#: of a body, bytes
SIZE = 2_048


def stripe_body() -> bytes:
    """A `customer.updated` of about 2 KB, with the shape that Stripe documents."""
    customer = {
        "id": "cus_QaXyZ123", "object": "customer", "address": {"city": "Bergen", "country": "NO"},
        "balance": 0, "created": 1_767_000_000, "currency": "nok", "default_source": None, "delinquent": False,
        "description": None, "discount": None, "email": "ann@corp.example", "invoice_prefix": "0759376C",
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": True, "metadata": {"user_id": "u_1001", "plan": "pro", "seats": "12"}, "name": "Ann Lee",
        "next_invoice_sequence": 1, "phone": None, "preferred_locales": ["nb"], "shipping": None, "tax_exempt": "none",
        "test_clock": None,
    }  # fmt: skip
    event = {
        "id": "evt_1PzXyZ", "object": "event", "api_version": "2025-09-30.clover", "created": 1_768_000_000,
        "type": "customer.updated", "livemode": True, "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": "k1"},
        "data": {"object": customer, "previous_attributes": {"email": "ann@old.example"}},
    }  # fmt: skip
    short = len(json.dumps(event, indent=2))
    customer["description"] = "x" * max(SIZE - short, 0)
    return json.dumps(event, indent=2).encode()


def source() -> Source:
    """Stripe as its preset has it."""
    os.environ["BENCH_STRIPE_SECRET"] = SECRET
    text = b"source: {name: stripe, secret: $env.BENCH_STRIPE_SECRET}\nrules: {}\n"
    return load({"stripe.yaml": text}, {}).sources["stripe"]


def compare(number: int = 50, turns: int = 800) -> tuple[float, float, float]:
    """Microseconds of `json.loads`, of verifying, and of verifying and decoding: the fastest of many, in turns."""
    stripe, body, now = source(), stripe_body(), datetime.now(UTC)
    headers = {"content-type": "application/json"}
    headers |= {name.lower(): value for name, value in stripe.sign(body, now=now, event_id="e1").items()}
    webhook = Webhook("stripe", "POST", headers, {}, body, now)
    names = {"loads": json.loads, "body": body, "source": stripe, "webhook": webhook, "now": now}
    timers = [
        timeit.Timer(code, globals=names)
        for code in (
            "loads(body)",
            "source.verify(webhook, now)",
            "source.verify(webhook, now); source.decode(webhook)",
        )
    ]
    taken = [[timer.timeit(number) / number * 1e6 for timer in timers] for _ in range(turns)]
    loads_us, verify_us, both_us = (min(column) for column in zip(*taken, strict=True))
    return loads_us, verify_us, both_us


def main(seconds: float) -> None:
    loads_us, verify_us, both_us = compare()
    print(
        f"verify and decode a body of {len(stripe_body()):,} bytes: {both_us / loads_us:.1f} × json.loads (goal 6)   "
        f"{both_us:.1f} µs, of that verifying {verify_us:.1f}, json.loads {loads_us:.1f}"
    )
    runs = [(measure("wsgi:app", seconds, path="open"), measure("wsgi:app", seconds)) for _ in range(5)]
    ratio = statistics.median(signed.per_s / plain.per_s for plain, signed in runs)
    cpu = statistics.median(signed.cpu_us - plain.cpu_us for plain, signed in runs)
    print(f"ingest with a signature: {ratio:.2f} × without (goal 0.90), {cpu:+.0f} µs of the worker's CPU per request")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
