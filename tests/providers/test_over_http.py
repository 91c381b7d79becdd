"""The providers against the sandbox, which was built from the vendors' documents alone, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from router.http import Door
from router.model import Delta, Instant, Op, OpKind, OutcomeKind, ReadBack, Reply, TagsDelta, to_us
from router.providers import PROVIDERS
from router.providers.base import Options, Provider
from router.providers.drive import drive
from router.sandbox import Sandbox, SandboxDestination
from tests.providers.conversations import reveal

ACCOUNTS: dict[str, dict[str, Any]] = {
    "moengage": {"dc": 1, "workspace": "WS1", "key": "$env.T_KEY"},
    "engagelab": {"key": "$env.T_KEY", "secret": "$env.T_SECRET"},
    "channel": {"key": "$env.T_KEY", "secret": "$env.T_SECRET", "api_version": "v5"},
    "moesif": {"application_id": "$env.T_KEY", "management_token": "$env.T_TOKEN"},
    "http": {"method": "PUT", "url": "https://a.example/p/{user}", "auth": {"bearer": "$env.T_KEY"}, "into": "traits"},
}
IN_CLEAR: dict[str, dict[str, Any]] = {
    "moengage": {"workspace": "WS1", "key": "secret-KEY"},
    "engagelab": {"key": "secret-KEY", "secret": "secret-SECRET"},
    "channel": {"key": "secret-KEY", "secret": "secret-SECRET"},
    "moesif": {"application_id": "secret-KEY", "management_token": "secret-TOKEN"},
    "http": {"method": "PUT", "url": "https://a.example/p/{user}", "auth": {"bearer": "secret-KEY"}},
}
TRICKS = {"moengage": "unset_attributes", "channel": "send-null", "moesif": "send-empty", "http": "send-null"}
SET: dict[str, Any] = {
    "email": "jane.doe@example.com",
    "name": "Jane Doe é 東京",
    "phone": "+821012345678",
    "plan": "pro",
    "seats": 12,
    "ltv": 199.65,
    "verified": True,
    "created_at": Instant(to_us(datetime(2025, 11, 20, 0, 53, 20, tzinfo=UTC))),
    "company.id": "acme",
    "company.name": "Acme Inc",
    "consent.email": True,
    "consent.sms": False,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox({name: SandboxDestination(name, name, IN_CLEAR[name]) for name in PROVIDERS}) as running:
        yield running


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    opened = Door(dev=True)
    yield opened
    opened.close()


def provider(name: str, sandbox: Sandbox) -> Provider:
    kind = PROVIDERS[name]
    options = Options(clear=TRICKS.get(name), tags="replace", once="set", base_url=f"{sandbox.url}/{name}")
    return kind(kind.Account().load(ACCOUNTS[name]), options, reveal)


def talk(conversation: Any, door: Door, name: str) -> Any:
    """Run a conversation over the network."""

    def send(call: Any) -> Reply:
        return door.send(call, session=name, timeout_s=10)

    return drive(conversation, send).result


def delta(profile: str, sets: dict[str, Any], handle: str | None = None, **rest: Any) -> Delta:
    held = {**sets, **rest.pop("held", {})}
    return Delta(
        profile, {key: Op(OpKind.SET, value) for key, value in sets.items()}, held=held, provider_handle=handle, **rest
    )


PEOPLE = ["u_1001", "a b/../c?d#e%f", "東京 é", "x" * 200]


@pytest.mark.parametrize("profile", PEOPLE, ids=range(len(PEOPLE)))
@pytest.mark.parametrize("name", PROVIDERS)
def test_what_is_written_is_read_back(name: str, profile: str, sandbox: Sandbox, door: Door) -> None:
    vendor = provider(name, sandbox)
    number = PEOPLE.index(profile)
    person = {**SET, "email": f"jane{number}@example.com", "phone": f"+82101234567{number}"}
    tags = TagsDelta(replace=("a", "b"), held=("a", "b"))
    outcome = talk(vendor.upsert(delta(profile, person, tags=tags, occurred_us=SET["created_at"].us)), door, name)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.DELIVERED, "")
    edited = TagsDelta(add=("c",), remove=("a",), held=("b", "c"))
    held = {key: value for key, value in person.items() if key != "plan"}
    second = Delta(
        profile,
        {"seats": Op(OpKind.SET, 13), "plan": Op(OpKind.UNSET)},
        edited,
        {**held, "seats": 13},
        outcome.handle,
        SET["created_at"].us + 1,
    )
    again = talk(vendor.upsert(second), door, name)
    assert (again.kind, again.reason) == (OutcomeKind.DELIVERED, "")
    assert again.handle == outcome.handle
    assert sandbox.held(name, profile) is not None
    if vendor.abilities.read:
        back: ReadBack = talk(vendor.read(second), door, name)
        assert (back.found, back.unreadable, back.differences()) == (True, "", [])


@pytest.mark.parametrize("name", [name for name, kind in PROVIDERS.items() if kind.abilities.read])
def test_reading_creates_nobody(name: str, sandbox: Sandbox, door: Door) -> None:
    vendor = provider(name, sandbox)
    back = talk(vendor.read(delta("nobody", SET, "999999")), door, name)
    assert (back.found, back.unreadable) == (False, "")
    assert sandbox.held(name, "nobody") is None


def test_many_people_go_in_one_call(sandbox: Sandbox, door: Door) -> None:
    vendor = provider("moesif", sandbox)
    before = len(sandbox.calls("moesif"))
    outcomes = talk(vendor.upsert_many([delta(f"m_{n}", {"plan": f"p{n}"}) for n in range(100)]), door, "moesif")
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DELIVERED}
    assert len(sandbox.calls("moesif")) == before + 1
    assert sandbox.held("moesif", "m_99")["metadata"] == {"plan": "p99"}


def test_a_contact_of_somebody_else_is_rejected(sandbox: Sandbox, door: Door) -> None:
    vendor = provider("engagelab", sandbox)
    contact = {"email": "shared@example.com"}
    first = talk(vendor.upsert(delta("owner", contact)), door, "engagelab")
    again = talk(vendor.upsert(delta("owner", contact, first.handle)), door, "engagelab")
    other = talk(vendor.upsert(delta("other", contact)), door, "engagelab")
    assert (first.kind, again.kind) == (OutcomeKind.DELIVERED, OutcomeKind.DELIVERED)
    assert (other.kind, other.reason) == (OutcomeKind.REJECTED, "55014: another person has this contact")


def test_a_deleted_engagelab_user_is_registered_again(sandbox: Sandbox, door: Door) -> None:
    vendor = provider("engagelab", sandbox)
    outcome = talk(vendor.upsert(delta("ghost", {"plan": "pro"}, "123456789")), door, "engagelab")
    assert outcome.kind is OutcomeKind.DELIVERED
    assert outcome.handle not in {None, "", "123456789"}
    assert sandbox.held("engagelab", "ghost") is not None


@pytest.mark.parametrize("name", PROVIDERS)
def test_wrong_credentials_stop_the_destination(name: str, sandbox: Sandbox, door: Door) -> None:
    kind = PROVIDERS[name]
    vendor = kind(
        kind.Account().load(ACCOUNTS[name]),
        Options(base_url=f"{sandbox.url}/{name}"),
        lambda secret: "wrong-" + secret.reference[-3:],
    )
    outcome = talk(vendor.upsert(delta("u_1001", {"plan": "pro"})), door, name)
    assert (outcome.kind, outcome.applied_maybe) == (OutcomeKind.DENIED, False)
