"""The senders' own libraries sign; the web, configured with the shipped presets, accepts or refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from router.ruleset import load
from router.settings import Settings
from router.sources import PRESETS
from router.store.store import open_store
from router.web import create_app
from tests.web.conftest import Site
from tests.web.senders import BODY, ENCODED, SENDERS, URL, Headers, Sender

#: seconds that a signed time may be off; none where the sender signs no time
TOLERANCE = {
    name: PRESETS[sender.preset]["verify"].get("tolerance", 0)
    for name, sender in SENDERS.items()
    if "tolerance" in PRESETS[sender.preset]["verify"]
}


def rules(*secrets: str) -> dict[str, bytes]:
    """A source per sender that accepts these references of its secrets."""
    files = {}
    for name, sender in SENDERS.items():
        given = [f"$env.{reference}_{_variable(name)}" for reference in secrets]
        source = {"name": name, "preset": sender.preset, "secrets": given, "url": URL, "handshake": "none"}
        files[f"{name}.yaml"] = json.dumps({"source": source, "rules": {}}).encode()
    return files


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def site_with(sqlite_url: str, *secrets: str) -> Iterator[Site]:
    sources = dict(load(rules(*secrets), {}).sources)
    store = open_store(sqlite_url, role="web")
    yield Site(create_app(lambda: sources, store, Settings(database_url=sqlite_url)), store, sources)
    store.close()


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sender in SENDERS.items():
        monkeypatch.setenv(f"NEW_{_variable(name)}", sender.secret)
        monkeypatch.setenv(f"OLD_{_variable(name)}", sender.other)


@pytest.fixture
def site(sqlite_url: str) -> Iterator[Site]:
    yield from site_with(sqlite_url, "NEW")


@pytest.fixture
def rotating(sqlite_url: str) -> Iterator[Site]:
    yield from site_with(sqlite_url, "NEW", "OLD")


def post(site: Site, source: str, body: str, headers: Headers) -> int:
    given = {"content-type": "application/json", **headers}
    return site.client.post(f"/webhooks/{source}", data=body.encode(), headers=given).status_code


def answers(site: Site, source: str, requests: list[tuple[str, Headers]]) -> list[int]:
    return [post(site, source, body, headers) for body, headers in requests]


def tampered(body: str) -> list[str]:
    """The body with something changed, taken out, put in, or written in another way."""
    value = json.loads(body)
    return [
        *(
            body + " ",
            " " + body,
            body + "\n",
            body[:-1],
            "",
            "{}",
            body.replace("evt_1", "evt_2"),
            body.replace("é", "e"),
        ),
        *(json.dumps(value), json.dumps(value, indent=1), body.replace("é", "e\u0301"), "\ufeff" + body),
    ]


each = pytest.mark.parametrize(("name", "sender"), SENDERS.items(), ids=SENDERS.keys())
each_timed = pytest.mark.parametrize("name", TOLERANCE)


@each
def test_what_the_official_library_signs_is_stored(site: Site, name: str, sender: Sender) -> None:
    assert post(site, name, BODY, sender.sign(BODY, sender.secret, datetime.now(UTC))) == 200
    (row,) = site.rows("events")
    assert (row.source, bytes(row.body)) == (name, BODY.encode())


@each
def test_a_changed_body_is_refused(site: Site, name: str, sender: Sender) -> None:
    good = sender.sign(BODY, sender.secret, datetime.now(UTC))
    bodies = tampered(BODY)
    assert BODY not in bodies
    assert set(answers(site, name, [(body, good) for body in bodies])) == {401}
    assert site.rows("events") == []


@each
def test_a_header_that_is_missing_blank_or_of_another_request_is_refused(site: Site, name: str, sender: Sender) -> None:
    now = datetime.now(UTC)
    good = sender.sign(BODY, sender.secret, now)
    requests = [(BODY, {}), (BODY, sender.sign(BODY, sender.other, now))]
    for gone, value in good.items():
        others = {header: text for header, text in good.items() if header != gone}
        odd = ["", " ", f"{value},{value}", value[:-1], value[1:], value.swapcase(), "ÿ"]
        requests += [(BODY, others), *((BODY, {**others, gone: text}) for text in odd if text != value)]
    assert set(answers(site, name, requests)) == {401}
    assert site.rows("events") == []


@each
def test_a_weaker_request_is_refused(site: Site, name: str, sender: Sender) -> None:
    good = sender.sign(BODY, sender.secret, datetime.now(UTC))
    requests = [(BODY, headers) for headers in sender.weaker(good, BODY, sender.secret)]
    assert len(requests) > 3
    assert answers(site, name, requests) == [401] * len(requests)
    assert site.rows("events") == []


@each_timed
@pytest.mark.parametrize("direction", [1, -1])
def test_a_time_too_far_from_now_is_refused(site: Site, name: str, direction: int) -> None:
    sender, now = SENDERS[name], datetime.now(UTC)

    def signed(seconds: int) -> tuple[str, Headers]:
        return BODY, sender.sign(BODY, sender.secret, now + direction * timedelta(seconds=seconds))

    far = [signed(seconds) for seconds in (TOLERANCE[name] + 60, 86_400, 10**9)]
    assert answers(site, name, far) == [401] * 3
    assert site.rows("events") == []
    assert answers(site, name, [signed(TOLERANCE[name] - 60)]) == [200]


@each_timed
def test_a_time_that_is_not_the_signed_one_is_refused(site: Site, name: str) -> None:
    sender, now = SENDERS[name], datetime.now(UTC)
    good, later = (sender.sign(BODY, sender.secret, now + timedelta(seconds=more)) for more in (0, 1))
    changed = [header for header in good if good[header] != later[header]]
    if len(changed) == 1:
        (header,) = changed
        (digest,) = re.findall("[0-9a-f]{64}", good[header])
        mixed = [{header: re.sub("[0-9a-f]{64}", digest, later[header])}]
    else:
        mixed = [{**good, header: later[header]} for header in changed]
    assert answers(site, name, [(BODY, headers) for headers in mixed]) == [401] * len(mixed)
    assert site.rows("events") == []


@each
def test_both_secrets_hold_while_they_rotate(rotating: Site, name: str, sender: Sender) -> None:
    now = datetime.now(UTC)
    requests = [(BODY, sender.sign(BODY, secret, now)) for secret in (sender.secret, sender.other)]
    assert answers(rotating, name, requests) == [200, 200]
    assert answers(rotating, name, [(BODY, sender.sign(BODY, _neither(sender), now))]) == [401]


@each
def test_after_the_rotation_the_old_secret_is_refused(site: Site, name: str, sender: Sender) -> None:
    assert answers(site, name, [(BODY, sender.sign(BODY, sender.other, datetime.now(UTC)))]) == [401]
    assert site.rows("events") == []


def _neither(sender: Sender) -> str:
    """A third secret of the same form."""
    if sender.secret.endswith(ENCODED):
        return sender.secret.replace(ENCODED, "whsec_" + "QUJD" * 8)
    return sender.secret[::-1]
