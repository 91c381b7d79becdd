"""Every conversation of every data file: delta in, exact calls, canned replies, outcome out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from marshmallow import ValidationError

from router.errors import BuildError
from router.model import Call, OpKind, Outcome, OutcomeKind, Reply
from router.providers.drive import drive
from router.settings import Secret
from tests.providers.conversations import (
    BROKEN_SECRET,
    FILES,
    delta_of,
    facts_of,
    provider_of,
    reply_of,
    value_of,
)

#: a small delta of every provider, for tests of replies
SMALL: dict[str, Any] = {"set": {"city": "Oslo"}}


def listed(make: Callable[..., Iterator[Any]]) -> Callable[..., list[Any]]:
    return lambda *args: list(make(*args))


@listed
def table(key: str) -> Iterator[Any]:
    """One parameter set per entry of a table: `(data, entry)`."""
    for name, data in FILES.items():
        entries = data[key] if isinstance(data[key], list) else [{"key": k, "value": v} for k, v in data[key].items()]
        for number, entry in enumerate(entries):
            yield pytest.param(data, entry, id=f"{name}-{number}-{entry.get('about', entry.get('key', ''))}"[:70])


def answers(case: dict[str, Any], provider: Any) -> Any:
    """Canned replies in order; where a call has none, the documented success."""
    waiting = iter(case["calls"])

    def answer(call: Call) -> Reply:
        wanted = next(waiting, None)
        assert wanted is not None, f"one call too many: {call}"
        return reply_of(wanted["reply"]) if "reply" in wanted else provider.example_reply(call)

    return answer


@pytest.mark.parametrize(("data", "case"), table("cases"))
def test_a_delta_gives_exactly_these_calls_and_this_outcome(data: dict[str, Any], case: dict[str, Any]) -> None:
    provider = provider_of(data, case)
    if "refused" in case or "refused_starts" in case:
        with pytest.raises(BuildError) as refusal:
            next(provider.upsert(delta_of(case["delta"])))
        message = str(refusal.value)
        assert message.startswith(case["refused_starts"]) if "refused_starts" in case else message == case["refused"]
        assert refusal.value.__cause__ is None
        return
    if "many" in case:
        driven: Any = drive(provider.upsert_many([delta_of(one) for one in case["many"]]), answers(case, provider))
        outcomes, wanted_outcomes = driven.result, case["outcomes"]
    else:
        driven = drive(provider.upsert(delta_of(case["delta"])), answers(case, provider))
        outcomes, wanted_outcomes = [driven.result], [case["outcome"]]
    assert len(driven.calls) == len(case["calls"])
    for call, wanted in zip(driven.calls, case["calls"], strict=True):
        assert call.body == value_of(wanted["body"])
        if "call" in wanted:
            assert f"{call.method} {call.url}" == wanted["call"]
        for name in {"step", "auth", "headers", "writes", "handle"} & set(wanted):
            assert getattr(call, name) == wanted[name], name
    assert [facts_of(o, w) for o, w in zip(outcomes, wanted_outcomes, strict=True)] == wanted_outcomes


@listed
def reply_table() -> Iterator[Any]:
    for name, data in FILES.items():
        for number, row in enumerate(data["replies"]):
            yield pytest.param(data, row, id=f"{name}-{number}-{row.get('status', 200)}-{row['is']}")


@pytest.mark.parametrize(("data", "row"), reply_table())
def test_a_reply_means_this(data: dict[str, Any], row: dict[str, Any]) -> None:
    provider = provider_of(data, row)
    outcome: Outcome = drive(provider.upsert(delta_of(data.get("replies_to", SMALL))), [reply_of(row)]).result
    kind = OutcomeKind.RETRY if row["is"] == "ambiguous" else OutcomeKind(row["is"])
    assert (outcome.kind, outcome.ambiguous) == (kind, row["is"] == "ambiguous")
    assert outcome.applied_maybe == (kind not in {OutcomeKind.THROTTLED, OutcomeKind.DENIED})
    for name in {"reason", "wait_s"} & set(row):
        assert getattr(outcome, name) == row[name], name
    if kind is not OutcomeKind.DELIVERED:
        assert outcome.reason


@pytest.mark.parametrize(("data", "row"), reply_table())
def test_a_reason_that_a_status_or_code_gives_has_advice(data: dict[str, Any], row: dict[str, Any]) -> None:
    provider = provider_of(data, row)
    reason = drive(provider.upsert(delta_of(data.get("replies_to", SMALL))), [reply_of(row)]).result.reason
    code = reason.partition(":")[0]
    advice = provider.advice(reason)
    if advice is not None:
        assert reason.startswith(f"{code}: {advice.meaning}")
    else:
        assert code not in provider.errors


HOSTILE = [
    "",
    "<html>captive portal</html>",
    "null",
    "true",
    "[]",
    "[[[]]]",
    '"success"',
    "0",
    "1e999",
    "9" * 5000,
    '{"status": {"a": 1}, "code": [], "user": 5, "data": 7}',
    '{"status": "success", "code": 0, "user": {"memberId": ',
    '{"code": 1e400, "status": 5, "user": []}',
    '{"code": ' + "9" * 400 + "}",
    '{"error": [1], "status": "fail"}',
    '{"error": {"type": ["x"], "attribute": {"a": 1}}, "status": "fail"}',
    "[" * 4000 + "]" * 4000,
    '{"a":' * 4000,
    "\ufeff{}",
    "\x00\x01\xff",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("status", [0, 100, 199, 200, 204, 299, 302, 400, 409, 429, 500, 503, 600, 999, 10**9])
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_reply_gives_an_outcome_and_no_false_success(name: str, status: int, text: str) -> None:
    provider = provider_of(FILES[name])
    headers = {"retry-after": text[:40], "x-ratelimit-reset": "9" * 30}
    for framed in (True, False):
        reply = Reply(status, headers, text.encode(), framed=framed, received_at=1.0)
        outcome = drive(provider.upsert(delta_of({"handle": "77", **SMALL})), [reply] * 3).result
        if outcome.kind is OutcomeKind.DELIVERED:
            # bodies mean nothing to these two, the status is the contract
            assert name in {"moesif", "http"}
            assert 200 <= status < 300
            assert framed or isinstance(reply.json(), (dict, list))
        assert "captive" not in outcome.reason
        reading = getattr(provider, "read", None)
        if provider.abilities.read:
            assert reading is not None
            back = drive(reading(delta_of({"handle": "77", "held": {"city": "Oslo"}})), [reply]).result
            assert not back.actual


@pytest.mark.parametrize("name", FILES)
def test_no_secret_shows_in_what_is_printed_or_refused(name: str) -> None:
    data = FILES[name]
    provider = provider_of(data)
    driven = drive(provider.upsert(delta_of(SMALL)), provider.example_reply)
    assert any(
        "secret-" in "".join(call.auth.values()) or "Basic" in "".join(call.auth.values()) for call in driven.calls
    )
    shown = repr(driven) + str(driven) + repr(provider.account) + repr(provider)
    assert "secret-" not in shown
    for call in driven.calls:
        assert all(value not in shown for value in call.auth.values() if value != data["account"].get("workspace"))


@pytest.mark.parametrize("name", FILES)
def test_a_secret_that_no_header_can_carry_is_refused_without_showing_it(name: str) -> None:
    data = FILES[name]

    def broken(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: broken(item) for key, item in value.items()}
        return "$env.T_BROKEN" if isinstance(value, str) and value.startswith("$") else value

    provider = provider_of({**data, "account": broken(data["account"])})
    with pytest.raises(BuildError) as refusal:
        drive(provider.upsert(delta_of(SMALL)), provider.example_reply)
    assert BROKEN_SECRET not in str(refusal.value)
    assert "line" not in repr(refusal.value)


@pytest.mark.parametrize(("data", "leaf"), table("leaves"))
def test_a_leaf_of_send_is_checked_against_the_body(data: dict[str, Any], leaf: dict[str, Any]) -> None:
    provider = provider_of(data, leaf)
    value = value_of(leaf["value"]) if "value" in leaf else ...
    problem = provider.leaf_problem(leaf["at"].split("/")[1:], value)
    found = None if problem is None else (problem.code, problem.message, problem.hint)
    wanted = (leaf["code"], leaf["message"], leaf.get("hint", "")) if "code" in leaf else None
    assert found == wanted


@pytest.mark.parametrize(("data", "entry"), table("names"))
def test_a_name_the_vendor_reserves_is_refused(data: dict[str, Any], entry: dict[str, Any]) -> None:
    problem = provider_of(data).name_problem(str(entry["key"]))
    assert ("" if problem is None else problem.message) == entry["value"]
    assert problem is None or problem.code == "reserved-name"


@pytest.mark.parametrize(("data", "entry"), table("ids"))
def test_an_id_the_vendor_refuses_is_refused(data: dict[str, Any], entry: dict[str, Any]) -> None:
    problem = provider_of(data).id_problem(entry["key"])
    assert ("" if problem is None else problem.message) == entry["value"]


@pytest.mark.parametrize(("data", "entry"), table("places"))
def test_a_field_has_its_place_and_name(data: dict[str, Any], entry: dict[str, Any]) -> None:
    provider = provider_of(data)
    assert [provider.place(entry["key"]), provider.name_of(entry["key"])] == entry["value"]


@pytest.mark.parametrize("name", FILES)
def test_the_places_the_router_writes_itself_are_listed(name: str) -> None:
    assert dict(provider_of(FILES[name]).fixed_places()) == FILES[name]["fixed"]


def test_v4_of_channel_lists_its_one_switch_for_all_channels() -> None:
    provider = provider_of(FILES["channel"], {"account": {"api_version": "v4"}})
    assert provider.fixed_places()["/unsubscribed"] == "consent.email and consent.sms"


def test_an_id_in_the_body_is_a_place_the_router_writes() -> None:
    provider = provider_of(FILES["http"], {"account": {"into": None, "user_at": "person.id"}})
    assert dict(provider.fixed_places()) == {"/person/id": "user"}
    assert (provider.place("email"), provider.name_of("email")) == (None, None)


def test_once_has_a_place_of_its_own_where_the_api_has_it() -> None:
    provider = provider_of(FILES["channel"])
    for field, place in FILES["channel"]["once_places"].items():
        assert provider.place(field, OpKind.ONCE) == place


def test_only_free_names_can_be_renamed() -> None:
    provider = provider_of(FILES["engagelab"], {"options": {"rename": {"email": "mail", "name": "full_name"}}})
    assert (provider.name_of("email"), provider.name_is_free("email")) == ("email", False)
    assert (provider.name_of("name"), provider.name_is_free("name")) == ("full_name", True)


@pytest.mark.parametrize(("field", "wanted"), FILES["engagelab"]["clears"].items())
def test_engagelab_clears_properties_and_not_contacts(field: str, wanted: bool) -> None:
    provider = provider_of(FILES["engagelab"])
    assert provider.clears(field) is (wanted if field != "consent.fax" else False)


@pytest.mark.parametrize(("data", "case"), table("accounts"))
def test_account_settings_are_checked(data: dict[str, Any], case: dict[str, Any]) -> None:
    from router.providers import PROVIDERS

    schema = PROVIDERS[data["provider"]].Account()
    if "at" not in case:
        loaded = schema.load(case["given"])
        for name, field in schema.fields.items():
            if field.metadata.get("secret") and name in loaded:
                assert isinstance(loaded[name], Secret)
        return
    with pytest.raises(ValidationError) as refusal:
        schema.load(case["given"])
    found = refusal.value.normalized_messages()[case["at"]]
    assert (found[0] if isinstance(found, list) else found) == case["message"]


def test_every_secret_of_an_account_is_known_however_deep() -> None:
    auth = {"basic": {"user": "$env.T_USER", "password": "$env.T_KEY"}}
    provider = provider_of(FILES["http"], {"account": {"auth": auth, "headers": {"X-A": "b"}}})
    assert provider.secrets() == [Secret("$env.T_USER"), Secret("$env.T_KEY")]
    assert provider_of(FILES["channel"]).secrets() == [Secret("$env.T_KEY"), Secret("$env.T_SECRET")]


def test_secrets_load_from_references_and_from_what_the_loader_made_of_them() -> None:
    from router.providers import PROVIDERS

    schema = PROVIDERS["moengage"].Account()
    loaded = schema.load({"dc": 1, "workspace": Secret("$env.W"), "key": Secret("$env.K")})
    assert (loaded["workspace"], loaded["key"]) == (Secret("$env.W"), Secret("$env.K"))


@listed
def read_table() -> Iterator[Any]:
    for name, data in FILES.items():
        for case in data.get("reads", []):
            yield pytest.param(data, case, id=f"{name}-{case['about']}")


@pytest.mark.parametrize(("data", "case"), read_table())
def test_reading_back_lays_what_is_stored_beside_what_we_believe(data: dict[str, Any], case: dict[str, Any]) -> None:
    provider = provider_of(data, case)
    replies = [reply_of(case["reply"])] if "reply" in case else []
    driven = drive(provider.read(delta_of(case["delta"])), replies)
    assert len(driven.calls) == len(replies)
    for call in driven.calls:
        assert (call.step, call.writes) == ("read", False)
        assert f"{call.method} {call.url}" == case.get("call", f"{call.method} {call.url}")
        assert call.body == case.get("body", call.body)
        assert call.auth == case.get("auth", call.auth)
    back = driven.result
    assert (back.found, back.unreadable) == (case["found"], case.get("unreadable", ""))
    for name in {"expected", "actual"} & set(case):
        assert dict(getattr(back, name)) == case[name], name
    if "differences" in case:
        assert back.differences() == case["differences"]


def test_a_provider_that_cannot_read_or_batch_says_so() -> None:
    provider = provider_of(FILES["http"])
    with pytest.raises(NotImplementedError):
        provider.read(delta_of(SMALL))
    with pytest.raises(NotImplementedError):
        provider.upsert_many([delta_of(SMALL)])


@pytest.mark.parametrize("name", FILES)
def test_two_conversations_of_one_provider_do_not_disturb_each_other(name: str) -> None:
    provider = provider_of(FILES[name])
    first, second = (
        provider.upsert(delta_of({"profile": "u_1", **SMALL})),
        provider.upsert(delta_of({"profile": "u_2", **SMALL})),
    )
    calls = [next(first), next(second)]
    assert "u_1" in repr(calls[0].body) + calls[0].url
    assert "u_2" in repr(calls[1].body) + calls[1].url


@pytest.mark.parametrize("name", FILES)
def test_a_delta_is_left_as_it_was(name: str) -> None:
    provider = provider_of(FILES[name])
    delta = delta_of({"set": {"city": "Oslo", "send:/attributes/o" if name in {"moengage", "http"} else "plan": "x"}})
    before = repr(delta)
    drive(provider.upsert(delta), provider.example_reply)
    assert repr(delta) == before
