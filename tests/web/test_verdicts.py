"""The senders' own libraries judge what we sign. Where they accept what we refuse, it stands here with the reason."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import Adyen.util
import pytest
import time_machine

from router.errors import SignatureError
from router.sources import PRESETS, Given, Source, sign
from tests.sources.given import a_source, request
from tests.sources.test_adyen import ITEM, notification
from tests.web.senders import (
    ADYEN,
    BODY,
    HEX,
    HUB,
    PADDLE,
    SENDERS,
    SLACK,
    STRIPE,
    URL,
    WORKOS,
    Headers,
    Sender,
    hex_mac,
    seconds,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
each = pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS.keys())


def ours(sender: Sender, at: datetime = NOW, secret: str | None = None) -> Headers:
    """The headers as `router send` makes them."""
    verify = PRESETS[sender.preset]["verify"]
    if sender.library == "standardwebhooks":
        verify = {**verify, "families": ["webhook"]}  # the one of two that this library knows
    return sign(verify, BODY.encode(), secret or sender.secret, now=at, event_id="msg_1", url=URL)


def source_of(sender: Sender) -> Source:
    return a_source(PRESETS[sender.preset]["verify"], Given(sender.secret), url=URL)


def accepts(source: Source, body: str | bytes, headers: Headers) -> bool:
    """Our own verdict."""
    try:
        source.verify(request(body if isinstance(body, bytes) else body.encode(), headers, at=NOW), NOW)
    except SignatureError:
        return False
    return True


def spoiled(sender: Sender) -> dict[str, tuple[str, Headers]]:
    """What nobody should accept, by a name."""
    good = ours(sender)
    requests = {
        "a changed body": (BODY + " ", good),
        "an empty body": ("", good),
        "another secret": (BODY, ours(sender, secret=sender.other)),
        "no header": (BODY, {}),
    }
    for gone in good:
        requests[f"without {gone}"] = (BODY, {header: text for header, text in good.items() if header != gone})
        requests[f"blank {gone}"] = (BODY, {**good, gone: ""})
    tolerance = PRESETS[sender.preset]["verify"].get("tolerance")
    if tolerance:
        requests["stale"] = (BODY, ours(sender, NOW - timedelta(seconds=tolerance + 60)))
        requests["early"] = (BODY, ours(sender, NOW + timedelta(seconds=tolerance + 60)))
    return requests


#: (library, request) that the library accepts and we refuse
LAXER: dict[tuple[str, str], str] = {
    ("stripe", "early"): "only the past is bounded: a time ahead stays valid until it is past and five minutes more",
    ("hubspot", "early"): "only the past is bounded",
}


@each
def test_the_library_accepts_what_we_sign(sender: Sender) -> None:
    with time_machine.travel(NOW, tick=False):
        assert sender.judge(BODY, ours(sender), sender.secret)
    assert accepts(source_of(sender), BODY, ours(sender))


@each
def test_the_library_refuses_what_we_refuse(sender: Sender) -> None:
    requests = spoiled(sender)
    with time_machine.travel(NOW, tick=False):
        accepted = {name for name, (body, headers) in requests.items() if sender.judge(body, headers, sender.secret)}
    assert accepted == {name for library, name in LAXER if library == sender.library and name in requests}
    assert not any(accepts(source_of(sender), body, headers) for body, headers in requests.values())


@each
def test_what_the_library_accepts_of_weaker_requests_is_known(sender: Sender) -> None:
    good = ours(sender)
    weaker = sender.weaker(good, BODY, sender.secret)
    with time_machine.travel(NOW, tick=False):
        accepted = [headers for headers in weaker if sender.judge(BODY, headers, sender.secret)]
    assert accepted == WEAKER.get(sender.preset, lambda _good: [])(good)
    assert not any(accepts(source_of(sender), BODY, headers) for headers in weaker)


def _other_labels(good: Headers) -> list[Headers]:
    """WorkOS' library cuts three characters off, whatever they are."""
    return [{WORKOS: good[WORKOS].replace("v1=", f"{label}=")} for label in ("v0", "V1")]


#: preset → the weaker requests that its library accepts, and we do not
WEAKER: dict[str, Callable[[Headers], list[Headers]]] = {
    # the algorithm is the request's choice
    "github": lambda _good: [{HUB: f"sha1={hex_mac(SENDERS['github-gidgethub'].secret, BODY, 'sha1')}"}],
    "workos": _other_labels,
}


# --- laxer in ways of their own ---------------------------------------------------------------------------------------


def both(sender: Sender, headers: Headers, body: str = BODY) -> tuple[bool, bool]:
    """The verdicts of the library and of ourselves."""
    with time_machine.travel(NOW, tick=False):
        return sender.judge(body, headers, sender.secret), accepts(source_of(sender), body, headers)


def test_svix_takes_its_three_headers_from_two_families_and_we_do_not() -> None:
    sender = SENDERS["svix-svix"]
    good = ours(sender)
    mixed = {name.replace("svix", "webhook") if name != "svix-id" else name: text for name, text in good.items()}
    assert both(sender, mixed) == (True, False)


@pytest.mark.parametrize(
    "stamp", [f"{NOW.timestamp()}", f" {seconds(NOW)}", "1_795_348_800", f"{seconds(NOW)}.9", f"+{seconds(NOW)}"]
)
def test_standard_webhooks_reads_times_in_many_spellings_and_we_in_one(stamp: str) -> None:
    sender = SENDERS["standard-webhooks-standardwebhooks"]
    assert both(sender, {**ours(sender), "webhook-timestamp": stamp}) == (True, False)


def test_standard_webhooks_ignores_what_is_no_base64_and_we_do_not() -> None:
    sender = SENDERS["standard-webhooks-standardwebhooks"]
    good = ours(sender)
    assert both(sender, {**good, "webhook-signature": good["webhook-signature"] + "!!!!"}) == (True, False)


def test_a_full_stop_in_an_id_makes_one_signature_fit_two_requests_and_is_refused() -> None:
    """`msg_1` + `.1795348800.` + body, where the body starts with another `<time>.`"""
    sender = SENDERS["standard-webhooks-standardwebhooks"]
    stamp = seconds(NOW)
    good = sign(
        PRESETS["standard-webhooks"]["verify"], f"{stamp}.{BODY}".encode(), sender.secret, now=NOW, event_id="a"
    )
    shifted = {**good, "webhook-id": f"a.{stamp}"}
    assert both(sender, shifted) == (True, False)


@pytest.mark.parametrize("stamp", [f" {seconds(NOW)}", f"+{seconds(NOW)}", "1_795_348_800", f"0{seconds(NOW)}"])
def test_times_of_stripe_and_slack_are_digits(stamp: str) -> None:
    """Their libraries read them with `int`; Slack's signs what was sent, Stripe's what it has read."""
    sender = SENDERS["slack-slack"]
    headers = {SLACK[0]: f"v0={hex_mac(sender.secret, f'v0:{stamp}:{BODY}')}", SLACK[1]: stamp}
    assert both(sender, headers) == (True, False)
    sender = SENDERS["stripe-stripe"]
    value = ours(sender)[STRIPE].replace(seconds(NOW), stamp)
    assert both(sender, {STRIPE: value}) == (True, False)


def test_paddle_s_library_refuses_a_key_it_does_not_know_and_we_pass_over_it() -> None:
    sender = SENDERS["paddle-paddle"]
    good = ours(sender)[PADDLE]
    assert both(sender, {PADDLE: f"{good};h2=00"}) == (False, True)


def test_workos_library_wants_the_blank_that_workos_sends_and_we_do_not() -> None:
    sender = SENDERS["workos-workos"]
    good = ours(sender)[WORKOS]
    assert both(sender, {WORKOS: good}) == (True, True)
    assert both(sender, {WORKOS: good.replace(", ", ",")}) == (False, True)


# --- Adyen's items ----------------------------------------------------------------------------------------------------


def adyen_items(*changes: dict[str, Any]) -> bytes:
    """A notification whose items are signed by Adyen's library."""
    items = []
    for change in changes:
        item = {**copy.deepcopy(ITEM), **change}
        item.pop("additionalData")
        signature = Adyen.util.generate_notification_sig(item, HEX).decode()
        items.append({**item, "additionalData": {"hmacSignature": signature}})
    return notification(*items)


ADYEN_ITEM = a_source({"scheme": "adyen-item"}, Given(HEX))
NAMED = {"originalReference": "EXAMPLE0PSP00002", "merchantReference": r"order:1\:2", "reason": "not signed"}


@pytest.mark.parametrize("changes", [({},), (NAMED,), ({}, NAMED), ({"amount": {"value": 0, "currency": "JPY"}},)])
def test_what_adyen_s_library_signs_is_accepted(changes: tuple[dict[str, Any], ...]) -> None:
    assert accepts(ADYEN_ITEM, adyen_items(*changes), {})


@pytest.mark.parametrize("name", ["pspReference", "merchantAccountCode", "merchantReference", "eventCode", "success"])
def test_adyen_s_library_refuses_what_we_refuse(name: str) -> None:
    value = json.loads(adyen_items(NAMED))
    value["notificationItems"][0]["NotificationRequestItem"][name] = "another"
    assert not Adyen.util.is_valid_hmac_notification(value, HEX)
    assert not accepts(ADYEN_ITEM, json.dumps(value).encode(), {})


def test_adyen_s_library_looks_at_the_first_item_only_and_we_at_all() -> None:
    value = json.loads(adyen_items({}, {}))
    value["notificationItems"][1]["NotificationRequestItem"]["pspReference"] = "forged"
    assert Adyen.util.is_valid_hmac_notification(value, HEX)
    assert not accepts(ADYEN_ITEM, json.dumps(value).encode(), {})


def test_adyen_s_two_kinds_of_signature_are_never_taken_for_each_other() -> None:
    body = adyen_items({})
    platform = SENDERS["adyen-platform-adyen"]
    item = json.loads(body)["notificationItems"][0]["NotificationRequestItem"]
    assert not accepts(source_of(platform), body, {ADYEN: item["additionalData"]["hmacSignature"]})
    header = Adyen.util.generate_payload_sig(body, HEX).decode()
    item["additionalData"] = {"hmacSignature": header}
    assert not accepts(ADYEN_ITEM, notification(item), {})
