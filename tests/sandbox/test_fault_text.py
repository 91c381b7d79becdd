"""The text form of faults."""

from __future__ import annotations

import pytest

from router.errors import ConfigError
from router.sandbox import Fault, FaultKind, parse_fault

K = FaultKind


@pytest.mark.parametrize(
    ("text", "destination", "fault"),
    [
        ("channel:429:30s", "channel", Fault(K.STATUS, status=429, lasts_s=30)),
        ("moengage:latency:2s", "moengage", Fault(K.LATENCY, seconds=2)),
        ("moengage:latency:2s:5m", "moengage", Fault(K.LATENCY, seconds=2, lasts_s=300)),
        ("moesif:503:10", "moesif", Fault(K.STATUS, status=503, count=10)),
        ("crm:cut", "crm", Fault(K.CUT)),
        ("crm:down:1.5s", "crm", Fault(K.DOWN, lasts_s=1.5)),
        ("crm:late:40s:1", "crm", Fault(K.LATE, seconds=40, count=1)),
        ("crm:drip-body:300ms", "crm", Fault(K.DRIP_BODY, seconds=0.3)),
        ("crm:500:20%:applied", "crm", Fault(K.STATUS, status=500, probability=0.2, applied=True)),
        ("crm:cut:unapplied", "crm", Fault(K.CUT, applied=False)),
        ("crm:302", "crm", Fault(K.REDIRECT, status=302)),
        ("crm:redirect", "crm", Fault(K.REDIRECT, status=302)),
        (
            "crm:307:1:to=http://10.0.0.1:80/x",
            "crm",
            Fault(K.REDIRECT, status=307, count=1, headers={"location": "http://10.0.0.1:80/x"}),
        ),
        (
            r"crm:500:method=PUT:path=/v2/a\:b:profile=u_1:seed=7",
            "crm",
            Fault(K.STATUS, status=500, method="PUT", path="/v2/a:b", profile="u_1", seed=7),
        ),
        ("crm:400:contains=poison", "crm", Fault(K.STATUS, status=400, contains="poison")),
        ("engagelab:forget:1h", "engagelab", Fault(K.FORGET, lasts_s=3600)),
        ("crm:999", "crm", Fault(K.STATUS, status=999)),
    ],
)
def test_reads(text: str, destination: str, fault: Fault) -> None:
    assert parse_fault(text) == (destination, fault)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write DESTINATION:WHAT"),
        ("channel", "cut-body"),
        (":429", "write DESTINATION:WHAT"),
        ("crm:latensy", "did you mean 'latency'"),
        ("crm:whatever", "cut-headers"),
        ("crm:status", "write the status itself"),
        ("crm:99", "no fault '99'"),
        ("crm:503:soon", "'soon' is not understood"),
        ("crm:503:0", "'0' is not understood"),
        ("crm:503:120%", "'120%' is not understood"),
        ("crm:503:seed=x", "seed is a whole number"),
        ("crm:503:colour=red", "'colour=red' is not understood"),
        ("crm:503:profile=", "'profile=' is not understood"),
        ("crm:503:path=(", "no regular expression"),
    ],
)
def test_refuses_and_says_what_exists(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fault(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.STATUS])
def test_every_kind_can_be_written(kind: FaultKind) -> None:
    assert parse_fault(f"crm:{kind}")[1].kind is kind
