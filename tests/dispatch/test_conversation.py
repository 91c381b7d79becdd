"""Conversations with replies that come, do not come, or come too late."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from router.dispatch.conversation import Talk, converse, excerpt, new_handle, path_of, reply_excerpt
from router.errors import BuildError, SecretError, TransportError
from router.model import FORGET, Call, Outcome, OutcomeKind, Reply

OK = Reply(200, {}, b"{}")
DELIVERED = Outcome(OutcomeKind.DELIVERED)


class Network:
    """Gives the replies of a script, and remembers what was asked."""

    def __init__(self, *script: Reply | TransportError) -> None:
        self.script = list(script)
        self.sent: list[tuple[Call, dict[str, str]]] = []

    def __call__(self, call: Call, timeout_s: float, headers: dict[str, str]) -> Reply:
        self.sent.append((call, headers))
        answer = self.script.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        return answer


def conversation(
    *steps: str, end: Outcome | Sequence[Outcome] = DELIVERED, writes: bool = True
) -> Generator[Call, Reply, Any]:
    for step in steps:
        yield Call("POST", f"https://x.example/{step}", {"a": 1}, step=step, writes=writes, handle=f"handle-{step}")
    return end


def run(talk: Generator[Call, Reply, Any], network: Network, *, left_s: float = 60.0, lanes: int = 1) -> Talk:
    return converse(
        talk,
        network,
        lanes=lanes,
        token="t0",
        first_number=3,
        key=lambda step: f"key-{step}",
        call_timeout_s=20.0,
        deadline=time.monotonic() + left_s,
    )


def test_each_call_is_numbered_and_keyed() -> None:
    network = Network(OK, OK)
    talk = run(conversation("register", "set"), network)
    assert [headers for _, headers in network.sent] == [
        {"Router-Attempt": "t0.3", "Idempotency-Key": "key-register"},
        {"Router-Attempt": "t0.4", "Idempotency-Key": "key-set"},
    ]
    assert [o.kind for o in talk.outcomes] == ["delivered"]


def test_the_same_step_twice_has_two_keys() -> None:
    network = Network(OK, OK)
    run(conversation("set", "set"), network)
    assert len({headers["Idempotency-Key"] for _, headers in network.sent}) == 2


def test_no_byte_goes_out_when_the_call_may_outlive_the_lease() -> None:
    network = Network(OK)
    talk = run(conversation("set"), network, left_s=19.0)
    assert network.sent == []
    assert talk.released
    assert not talk.outcomes[0].applied_maybe


@pytest.mark.parametrize(
    ("sent", "writes", "ambiguous"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_call_without_a_reply_is_ambiguous_only_if_it_went_out_and_writes(
    sent: bool, writes: bool, ambiguous: bool
) -> None:
    talk = run(conversation("set", writes=writes), Network(TransportError("timeout", sent=sent)), lanes=2)
    assert [(o.kind, o.ambiguous, o.applied_maybe) for o in talk.outcomes] == [("retry", ambiguous, ambiguous)] * 2
    assert talk.calls[0].error == "timeout"


def test_an_earlier_write_makes_a_later_failure_unsure() -> None:
    talk = run(conversation("set", "contact"), Network(OK, TransportError("refused", sent=False)))
    assert (talk.outcomes[0].ambiguous, talk.outcomes[0].applied_maybe) == (False, True)


@pytest.mark.parametrize("kind", [OutcomeKind.THROTTLED, OutcomeKind.DENIED])
def test_a_call_that_was_turned_away_wrote_nothing(kind: OutcomeKind) -> None:
    alone = run(conversation("set", end=Outcome(kind)), Network(Reply(429, {}, b"")))
    later = run(conversation("set", "contact", end=Outcome(kind)), Network(OK, Reply(429, {}, b"")))
    assert not alone.outcomes[0].applied_maybe
    assert later.outcomes[0].applied_maybe


def test_a_refused_write_may_have_been_applied_but_a_refused_look_up_not() -> None:
    refused = Outcome(OutcomeKind.REJECTED)
    assert run(conversation("set", end=refused), Network(OK)).outcomes[0].applied_maybe
    assert not run(conversation("register", end=refused, writes=False), Network(OK)).outcomes[0].applied_maybe


def test_what_cannot_be_expressed_is_rejected_without_a_call() -> None:
    def impossible() -> Generator[Call, Reply, Outcome]:
        raise BuildError("the id is refused")
        yield  # makes it a generator

    talk = run(impossible(), Network())
    assert [(o.kind, o.reason, o.applied_maybe) for o in talk.outcomes] == [("rejected", "the id is refused", False)]


def test_a_secret_that_is_gone_denies_the_destination_instead_of_the_person() -> None:
    def unset() -> Generator[Call, Reply, Outcome]:
        raise SecretError("$env.KEY is not set")
        yield  # makes it a generator

    talk = run(unset(), Network())
    assert [(o.kind, o.reason, o.applied_maybe) for o in talk.outcomes] == [("denied", "$env.KEY is not set", False)]


def test_a_batch_has_an_outcome_for_each_lane() -> None:
    talk = run(conversation("batch", end=[DELIVERED, Outcome(OutcomeKind.REJECTED)]), Network(OK), lanes=2)
    assert [o.kind for o in talk.outcomes] == ["delivered", "rejected"]


def test_the_handle_survives_a_later_failure() -> None:
    talk = run(conversation("register", "set"), Network(OK, TransportError("cut", sent=True)))
    assert new_handle(talk, talk.outcomes[0], "old") == "handle-set"


def test_an_outcome_overrules_the_handle_of_the_calls() -> None:
    talk = Talk([DELIVERED], handle="from-call")
    assert new_handle(talk, Outcome(OutcomeKind.RETRY, handle="fresh"), "old") == "fresh"
    assert new_handle(talk, Outcome(OutcomeKind.RETRY, handle=FORGET), "old") is None
    assert new_handle(Talk([DELIVERED]), DELIVERED, "old") == "old"


def test_excerpts_are_bounded_and_hide_credentials() -> None:
    assert excerpt(None) == ""
    assert "tok_1" not in excerpt({"user_id": "u", "session_token": "tok_1"})
    assert "tok_1" not in excerpt([{"session_token": "tok_1"}])
    assert len(excerpt({"a": "x" * 5000})) == 1024
    assert reply_excerpt(Reply(200, {}, b'{"key": "s3cret-value"}'), ["s3cret-value"]) == '{"key": "***"}'
    assert reply_excerpt(None, []) == ""
    assert len(reply_excerpt(Reply(200, {}, b"\xff\x00" * 5000), [])) == 1024


def test_an_attempt_keeps_path_and_query_only() -> None:
    assert path_of("https://user@x.example/a%2Fb?c=1#d") == "/a%2Fb?c=1"
    assert path_of("https://x.example/a") == "/a"
