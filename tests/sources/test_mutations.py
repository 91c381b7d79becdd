"""Of every preset: nothing that its proof covers can be changed, and the rest, which is listed, can."""

from __future__ import annotations

import json
import random
import string
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.sources import PRESETS
from tests.sources.genuine import SCHEMES_OF_HTTP, UNCOVERED, Genuine, adyen_body, genuine
from tests.sources.given import NOW
from tests.sources.test_certificates import NOTIFICATION
from tests.sources.test_certificates import signed as signed_as_sns
from tests.test_docs import SOURCES as PAGE

case = cache(genuine)
each = pytest.mark.parametrize("name", sorted(PRESETS))
PARSES = {name: preset["verify"].get("parse", "") for name, preset in PRESETS.items()}


@each
def test_a_genuine_request_is_accepted_and_holds_one_event(name: str) -> None:
    found = case(name)
    assert found.accepts(found.webhook)
    assert len(found.source.decode(found.webhook)) == 1


# --- no change of what is covered is accepted -------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn, value: bytes) -> bytes:
    """The bytes with a few of them changed, taken out or put in."""
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, max(len(value) - 1, 0)))
        what = bytes([draw(st.integers(0, 255))])
        kind = draw(st.sampled_from(["flip", "change", "remove", "insert", "cut"]))
        if kind == "cut":
            value = value[:where]
        elif kind == "insert" or not value:
            value = value[:where] + what + value[where:]
        else:
            old = value[where]
            new = {"flip": bytes([old ^ 1 << what[0] % 8]), "change": what, "remove": b""}[kind]
            value = value[:where] + new + value[where + 1 :]
    return value


@each
@settings(max_examples=60)
@given(data=st.data())
def test_no_change_of_what_is_covered_is_accepted(name: str, data: st.DataObject) -> None:
    found = case(name)
    webhook = found.webhook
    for part in data.draw(st.lists(st.sampled_from(["body", *found.proof]), min_size=1, max_size=2, unique=True)):
        if part == "body":
            webhook = replace(webhook, body=data.draw(mutated(webhook.body)))
        else:
            value = data.draw(mutated(webhook.headers[part].encode("latin-1"))).decode("latin-1")
            webhook = replace(webhook, headers={**webhook.headers, part: value})
    if name == "jotform":
        value = data.draw(mutated(webhook.query["token"][0].encode())).decode("latin-1")
        webhook = replace(webhook, query={"token": [value]})
    if found.accepts(webhook):
        assert keeps(found, webhook)


def keeps(found: Genuine, webhook: Any) -> bool:
    """Whether a request means what the genuine one means. A list of signatures may hold others beside the genuine."""
    separator = {"pairs": PRESETS[found.name]["verify"].get("pair_sep", ",").strip(), "positional": ","}.get(
        PARSES[found.name], " " if PRESETS[found.name]["verify"].get("scheme") == "standard-webhooks" else ""
    )
    if not separator:
        return bool(found.meaning(webhook) == found.meaning(found.webhook))
    lists = [header for header in found.proof if header.endswith("-signature")]
    for header in lists:
        entries = [entry.strip(" ") for entry in webhook.headers[header].split(separator)]
        if not {entry.strip(" ") for entry in found.webhook.headers[header].split(separator)} <= set(entries):
            return False
    others = [header for header in found.proof if header not in lists]
    same = all(webhook.headers[header] == found.webhook.headers[header] for header in others)
    return same and bool(webhook.body == found.webhook.body) and len(lists) == 1


@pytest.mark.parametrize("name", [name for name in sorted(PRESETS) if case(name).proof])
@settings(max_examples=25)
@given(data=st.data())
def test_a_proof_without_one_of_its_parts_is_refused(name: str, data: st.DataObject) -> None:
    found = case(name)
    gone = data.draw(st.sampled_from(found.proof))
    headers = {header: value for header, value in found.webhook.headers.items() if header != gone}
    assert not found.accepts(replace(found.webhook, headers=headers))
    assert not found.accepts(replace(found.webhook, headers={**headers, gone: data.draw(st.sampled_from(["", " "]))}))


def test_a_zero_at_the_end_of_a_body_is_not_the_first_digit_of_the_time() -> None:
    """HubSpot signs `…{body}{timestamp}`: `10` + `1795…` and `1` + `01795…` are one text."""
    found = case("hubspot")
    stamp, signature = "x-hubspot-request-timestamp", "x-hubspot-signature-v3"
    proof = found.source.sign(b"10", now=NOW, event_id="x")
    webhook = replace(found.with_headers(**{signature: proof[signature]}), body=b"10")
    assert found.accepts(webhook)
    moved = replace(webhook, body=b"1", headers={**webhook.headers, stamp: "0" + proof[stamp]})
    assert not found.accepts(moved)


def with_idle_bit(text: str) -> str:
    """Base64 of the same bytes: the last letter has bits that nobody reads, and one of them is set."""
    letters = text.rstrip("=")
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + ("-_" if "-" in text else "+/")
    return letters[:-1] + alphabet[alphabet.index(letters[-1]) ^ 1] + text[len(letters) :]


@pytest.mark.parametrize(
    "name", ["paypal", "fusionauth", "keycloak-phasetwo-jwt", "frontegg", "chargebee", "google-pubsub"]
)
def test_a_signature_in_a_header_has_one_spelling(name: str) -> None:
    found = case(name)
    (header,) = (one for one in found.proof if one == "paypal-transmission-sig" or name != "paypal")
    value = found.webhook.headers[header]
    for other in (with_idle_bit(value), value + "!", value + "=", value[:-1] + "\n" + value[-1:]):
        assert other != value
        assert not found.accepts(replace(found.webhook, headers={**found.webhook.headers, header: other}))


def test_a_signature_in_a_body_has_one_spelling() -> None:
    sns, kinde = case("aws-sns"), case("kinde")
    body = json.loads(sns.webhook.body)
    for other in (with_idle_bit(body["Signature"]), body["Signature"] + "!", body["Signature"] + "="):
        assert not sns.accepts(sns.with_body(json.dumps({**body, "Signature": other}).encode()))
    token = kinde.webhook.body.decode()
    for other in (with_idle_bit(token), token + "!", token + "="):
        assert not kinde.accepts(kinde.with_body(other.encode()))


# --- no change of the rest is refused ---------------------------------------------------------------------------------

RESERVED = {"content-encoding", "x-amz-sns-rawdelivery"}
names_of_headers = st.from_regex(r"x-[a-z0-9]{1,12}(-[a-z0-9]{1,8})?", fullmatch=True) | st.sampled_from(
    ["x-hub-signature", "x-hubspot-signature", "x-square-signature", "protocol", "cookie", "user-agent", "jku", "v1"]
)
values_of_headers = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=30)


@each
@settings(max_examples=25)
@given(more=st.dictionaries(names_of_headers, values_of_headers, max_size=4))
def test_other_headers_do_not_matter(name: str, more: dict[str, str]) -> None:
    found = case(name)
    added = {header: value for header, value in more.items() if header not in {*found.proof, *RESERVED}}
    assert found.accepts(replace(found.webhook, headers={**added, **found.webhook.headers}))


LISTS = {
    name: {"pairs": ["v0=00", "v1=00", "h1=00", "x", "", "v1"], "positional": ["0" * 64, "x", ""]}.get(
        PARSES[name], ["v1,AAAA", "v1a,AAAA", "v2,x", "v1", "", ","]
    )
    for name in PRESETS
    if PARSES[name] or PRESETS[name]["verify"].get("scheme") == "standard-webhooks"
}


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=40)
@given(data=st.data())
def test_other_signatures_beside_the_genuine_do_not_matter(name: str, data: st.DataObject) -> None:
    found = case(name)
    (header,) = (header for header in found.proof if header.endswith("-signature"))
    separator = {"": " ", "pairs": PRESETS[name]["verify"].get("pair_sep", ","), "positional": ","}[PARSES[name]]
    entries = found.webhook.headers[header].split(separator)
    first = entries[:1] if PARSES[name] == "positional" else []
    rest = entries[len(first) :] + data.draw(st.lists(st.sampled_from(LISTS[name]), max_size=4))
    random.Random(data.draw(st.integers(0, 99))).shuffle(rest)
    assert found.accepts(found.with_headers(**{header: separator.join(first + rest)}))


WORDS = [
    name
    for name in sorted(PRESETS)
    if case(name).webhook.headers.get("authorization", "").partition(" ")[0].lower() in SCHEMES_OF_HTTP
]


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase])
def test_an_authentication_scheme_may_be_in_any_case(name: str, change: Callable[[str], str]) -> None:
    found = case(name)
    word, _, rest = found.webhook.headers["authorization"].partition(" ")
    assert found.accepts(found.with_headers(authorization=f"{change(word)} {rest}"))


def rewritten(value: Any, seed: int) -> bytes:
    """The same JSON with its keys in another order and other white space."""

    def shuffled(one: Any) -> Any:
        if isinstance(one, dict):
            pairs = [(key, shuffled(inner)) for key, inner in one.items()]
            random.Random(seed).shuffle(pairs)
            return dict(pairs)
        return [shuffled(inner) for inner in one] if isinstance(one, list) else one

    return json.dumps(shuffled(value), indent=seed % 4, ensure_ascii=seed % 2 == 0).encode()


@pytest.mark.parametrize("name", ["aws-sns", "adyen"])
@pytest.mark.parametrize("seed", range(8))
def test_where_fields_are_signed_their_order_does_not_matter(name: str, seed: int) -> None:
    found = case(name)
    body = rewritten(json.loads(found.webhook.body), seed)
    assert body != found.webhook.body
    assert found.accepts(found.with_body(body))


@pytest.mark.parametrize("body", [b"%s\n", b" %s", b"\t%s\r\n"])
def test_white_space_around_a_token_does_not_matter(body: bytes) -> None:
    found = case("kinde")
    assert found.accepts(found.with_body(body % found.webhook.body))


# --- what is not covered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(UNCOVERED["the body"]))
@settings(max_examples=25)
@given(body=st.binary(max_size=200))
def test_the_body_is_not_covered(name: str, body: bytes) -> None:
    found = case(name)
    assert found.accepts(found.with_body(body))


@pytest.mark.parametrize("name", sorted(set(PRESETS) - UNCOVERED["the body"]))
def test_the_body_of_all_others_is_covered(name: str) -> None:
    found = case(name)
    assert not found.accepts(found.with_body(b'{"another": "body"}'))


def with_crc(body: bytes, wanted: int) -> bytes:
    """`body`, whose run of `0` is turned into `0` and `1` such that its CRC-32 is `wanted`.

    A CRC is linear: the places whose flips give the missing difference are found by elimination.
    """
    start, count = body.index(b"0" * 64), 64
    rows = []
    for place in range(start, start + count):
        flipped = body[:place] + b"1" + body[place + 1 :]
        rows.append((zlib.crc32(body) ^ zlib.crc32(flipped), 1 << (place - start)))
    target, chosen = zlib.crc32(body) ^ wanted, 0
    for bit in range(31, -1, -1):
        pivot = next(row for row in rows if row[0] >> bit & 1)
        rows = [(row[0] ^ pivot[0], row[1] ^ pivot[1]) if row[0] >> bit & 1 else row for row in rows]
        if target >> bit & 1:
            target, chosen = target ^ pivot[0], chosen ^ pivot[1]
    run = bytes(49 if chosen >> place & 1 else 48 for place in range(count))
    return body[:start] + run + body[start + count :]


def test_paypal_covers_a_sum_that_another_body_can_have() -> None:
    found = case("paypal")
    event = {"id": "WH-FORGED", "event_type": "BILLING.SUBSCRIPTION.ACTIVATED", "resource": {"custom_id": "mallory"}}
    forged = with_crc(json.dumps({**event, "filler": "0" * 64}).encode(), zlib.crc32(found.webhook.body))
    webhook = found.with_body(forged)
    assert forged != found.webhook.body
    assert found.accepts(webhook)
    (read,) = found.source.decode(webhook)
    assert (read.external_id, read.type) == ("WH-FORGED", "BILLING.SUBSCRIPTION.ACTIVATED")


def test_adyen_covers_eight_fields_of_an_item() -> None:
    found = case("adyen")
    body = json.loads(found.webhook.body)
    item = body["notificationItems"][0]["NotificationRequestItem"]
    item["additionalData"] |= {"shopperReference": "mallory", "more": "x"}
    item |= {"eventDate": "2027-01-01T00:00:00+01:00", "reason": "x"}
    body["live"] = "true"
    assert found.accepts(found.with_body(json.dumps(body).encode()))
    for field in (
        "pspReference",
        "originalReference",
        "merchantAccountCode",
        "merchantReference",
        "eventCode",
        "success",
    ):
        changed = {**item, field: "other"}
        assert not found.accepts(
            found.with_body(json.dumps({"notificationItems": [{"NotificationRequestItem": changed}]}).encode())
        )
    assert found.accepts(found.with_body(adyen_body(item, item)))


def test_sns_covers_neither_attributes_nor_the_way_out() -> None:
    found = case("aws-sns")
    body = json.loads(found.webhook.body)
    more = {
        "MessageAttributes": {"role": {"Type": "String", "Value": "admin"}},
        "UnsubscribeURL": "https://evil.example/",
    }
    assert found.accepts(found.with_body(json.dumps({**body, **more, "Other": 1}).encode()))
    assert json.loads(signed_as_sns({**NOTIFICATION, **more}))["Signature"] != body["Signature"]


@pytest.mark.parametrize("name", sorted(UNCOVERED["the headers that name its type or id"]))
def test_headers_that_name_type_or_id_are_not_covered(name: str) -> None:
    found = case(name)
    (before,) = found.source.decode(found.webhook)
    changed = found.with_headers(**dict.fromkeys(naming_headers(name), "forged"))
    assert found.accepts(changed)
    if name == "lemonsqueezy":  # its header counts where the body has no name
        return
    (after,) = found.source.decode(changed)
    assert (before.type, before.external_id) != (after.type, after.external_id)


def naming_headers(name: str) -> set[str]:
    """The headers that the identity of a preset reads and its proof does not cover."""
    texts = " ".join(PRESETS[name]["identity"].get(part, "") for part in ("type", "id"))
    read = {
        word.strip("{}").removeprefix("$header.") for word in texts.split() if word.strip("{}").startswith("$header.")
    }
    return read - set(case(name).proof)


def test_the_table_names_every_preset_whose_type_or_id_is_in_a_header() -> None:
    signed = set(PRESETS) - UNCOVERED["the body"]
    found = {name for name in signed if naming_headers(name) - {"webhook-id"}}
    assert found == UNCOVERED["the headers that name its type or id"]


def test_the_page_has_the_same_table() -> None:
    section = PAGE.partition("\n### What a proof leaves open\n")[2].partition("\n### ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ") and "`" in line]
    found = {cells[0]: frozenset(word.strip("` ") for word in cells[1].split(",")) for cells in rows}
    assert found == UNCOVERED
