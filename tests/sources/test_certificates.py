"""Amazon SNS and PayPal: signatures by a certificate that the request names."""

from __future__ import annotations

import base64
import json
import threading
import time
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from router.errors import SignatureError, UnknownCertificate, UpstreamError
from router.sources import PRESETS, Source
from router.sources.schemes.certificates import is_sns_url
from router.sources.schemes.keyset import Certificates
from tests.sources.given import NOW, Upstream, a_source, after, request

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(name: str, key: Any = KEY, start: datetime = NOW - timedelta(days=1)) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .sign(KEY, SHA256())
    )
    return built.public_bytes(Encoding.PEM)


# --- SNS ----------------------------------------------------------------------------------------------------------

TOPIC = "arn:aws:sns:eu-north-1:111122223333:users"
CERT_URL = "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-0.pem"
SNS = {**PRESETS["aws-sns"]["verify"], "topics": [TOPIC]}
NOTIFICATION: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "cccc-1",
    "TopicArn": TOPIC,
    "Message": '{"triggerSource":"PostConfirmation_ConfirmSignUp"}',
    "Timestamp": "2026-11-22T11:59:00.000Z",
    "SignatureVersion": "2",
    "SigningCertURL": CERT_URL,
    "UnsubscribeURL": "https://sns.eu-north-1.amazonaws.com/?Action=Unsubscribe",
}
CONFIRMATION = {
    **NOTIFICATION,
    "Type": "SubscriptionConfirmation",
    "Token": "t-1",
    "SubscribeURL": "https://sns.eu-north-1.amazonaws.com/?Action=ConfirmSubscription&Token=t-1",
}
FIELDS = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


def signed(message: dict[str, Any], key: rsa.RSAPrivateKey = KEY) -> bytes:
    names = FIELDS[message["Type"]]
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    digest = SHA1() if message["SignatureVersion"] == "1" else SHA256()
    signature = key.sign(text.encode(), padding.PKCS1v15(), digest)
    return json.dumps({**message, "Signature": base64.b64encode(signature).decode()}).encode()


def upstream() -> Upstream:
    return Upstream({CERT_URL: certificate("sns.amazonaws.com")})


def sns(**changes: Any) -> Source:
    return a_source({**SNS, **changes})


def refused(source: Source, body: bytes, fetch: Any = None, **headers: str) -> None:
    with pytest.raises(SignatureError):
        source.verify(request(body, headers), NOW, fetch or upstream())


@pytest.mark.parametrize("message", [NOTIFICATION, {**NOTIFICATION, "Subject": "Hello"}, CONFIRMATION])
def test_a_genuine_message_is_accepted_whatever_its_media_type(message: dict[str, Any]) -> None:
    fetch = upstream()
    sns().verify(request(signed(message), {"content-type": "text/plain; charset=UTF-8"}), NOW, fetch)
    assert fetch.asked == [(CERT_URL, frozenset({"sns.eu-north-1.amazonaws.com"}), 65_536)]


@pytest.mark.parametrize("name", FIELDS["SubscriptionConfirmation"])
def test_every_signed_field_counts(name: str) -> None:
    body = json.loads(signed(CONFIRMATION))
    for change in ("another text", 5, None, [], body[name] + " "):
        refused(sns(), json.dumps({**body, name: change}).encode())
    del body[name]
    refused(sns(), json.dumps(body).encode())


def test_a_subject_cannot_be_put_in_or_taken_out() -> None:
    refused(sns(), json.dumps({**json.loads(signed(NOTIFICATION)), "Subject": "x"}).encode())
    with_subject = json.loads(signed({**NOTIFICATION, "Subject": "x"}))
    refused(sns(), json.dumps({**with_subject, "Subject": None}).encode())


def test_another_key_is_refused() -> None:
    refused(sns(), signed(NOTIFICATION, rsa.generate_private_key(public_exponent=65537, key_size=2048)))


@pytest.mark.parametrize("signature", ["", "!!!!", "AAAA", 5, None])
def test_rubbish_in_place_of_the_signature_is_refused(signature: Any) -> None:
    refused(sns(), json.dumps({**json.loads(signed(NOTIFICATION)), "Signature": signature}).encode())


def test_version_1_only_where_it_is_allowed() -> None:
    body = signed({**NOTIFICATION, "SignatureVersion": "1"})
    refused(sns(), body)
    sns(versions=["1", "2"]).verify(request(body), NOW, upstream())
    refused(sns(versions=["1", "2"]), json.dumps({**json.loads(body), "SignatureVersion": "2"}).encode())


def test_another_topic_is_refused_before_anything_is_fetched() -> None:
    fetch = upstream()
    refused(sns(), signed({**NOTIFICATION, "TopicArn": TOPIC + "2"}), fetch)
    assert fetch.asked == []


def test_raw_delivery_is_refused() -> None:
    refused(sns(), signed(NOTIFICATION), **{"x-amz-sns-rawdelivery": "true"})


@pytest.mark.parametrize(("seconds", "good"), [(3500, True), (3541, False), (-359, True), (-361, False)])
def test_age_is_bounded_both_ways(seconds: int, good: bool) -> None:
    webhook = request(signed(NOTIFICATION))
    if good:
        sns().verify(webhook, after(seconds), upstream())
    else:
        with pytest.raises(SignatureError):
            sns().verify(webhook, after(seconds), upstream())


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-22T11:59:00", "２０２６-11-22T11:59:00.000Z", 5])
def test_a_time_that_cannot_be_read_is_refused(time: Any) -> None:
    refused(sns(), signed({**NOTIFICATION, "Timestamp": time}))


def test_an_unknown_type_is_refused() -> None:
    refused(sns(), json.dumps({**json.loads(signed(NOTIFICATION)), "Type": "Other"}).encode())


PLACES = [
    "http://sns.eu-north-1.amazonaws.com/a.pem",
    "https://sns.eu-north-1.amazonaws.com.evil.example/a.pem",
    "https://evil.example/sns.eu-north-1.amazonaws.com/a.pem",
    "https://sns.eu-north-1.amazonaws.com@evil.example/a.pem",
    "https://user@sns.eu-north-1.amazonaws.com/a.pem",
    "https://sns.eu-north-1.amazonaws.com:8443/a.pem",
    "https://sns.eu-north-1.amazonaws.com/a.pem?x=1",
    "https://sns.eu-north-1.amazonaws.com/a.pem#x",
    "HTTPS://sns.eu-north-1.amazonaws.com/a.pem",
    "https://sns.eu-north-1.amazonaws.com/a/../b.pem",
    "https://sns.eu-north-1.amazonaws.com/a.txt",
    "https://sns.x.amazonaws.com/a.pem",
    "https://sns.s3-us-west-2.amazonaws.com/a.pem",
    "https://sns.s3-external-1.amazonaws.com/a.pem",
    "https://sns.eu-north-1.s3.amazonaws.com/a.pem",
    "https://sns.us-east-1-x.amazonaws.com/a.pem",
    "https://sns.EU-north-1.amazonaws.com/a.pem",
    "https://sns.eu-north-1.amazonaws.com\n.evil.example/a.pem",
    "https://sns.eu-nörth-1.amazonaws.com/a.pem",
    "",
    None,
]


@pytest.mark.parametrize("place", PLACES, ids=ascii)
def test_a_certificate_at_a_strange_place_is_never_fetched(place: Any) -> None:
    fetch = upstream()
    refused(sns(), json.dumps({**json.loads(signed(NOTIFICATION)), "SigningCertURL": place}).encode(), fetch)
    assert fetch.asked == []


def test_sns_hosts_in_every_partition() -> None:
    # https://docs.aws.amazon.com/general/latest/gr/sns.html
    for region in ("us-east-1", "ap-southeast-2", "us-gov-west-1", "me-central-1", "il-central-1", "mx-central-1"):
        assert is_sns_url(f"https://sns.{region}.amazonaws.com/?Action=ConfirmSubscription")
    assert is_sns_url("https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription")
    assert not is_sns_url("https://sns.cn-north-1.amazonaws.com.cn.evil.example/")


def test_a_certificate_is_kept_and_serves_on_while_it_is_away() -> None:
    source, fetch = sns(), upstream()
    for seconds in (0, 300):
        source.verify(request(signed(NOTIFICATION)), after(seconds), fetch)
    assert len(fetch.asked) == 1
    fetch.pages.clear()
    source.verify(request(signed(NOTIFICATION)), after(700), fetch)
    source.verify(request(signed(NOTIFICATION)), after(701), fetch)
    assert len(fetch.asked) == 2
    fetch.pages = upstream().pages
    source.verify(request(signed(NOTIFICATION)), after(710), fetch)
    source.verify(request(signed(NOTIFICATION)), after(720), fetch)
    assert len(fetch.asked) == 3


@pytest.mark.parametrize("page", [None, b"", b"no certificate"])
def test_without_a_certificate_nothing_is_refused_for_good(page: bytes | None) -> None:
    fetch = Upstream({} if page is None else {CERT_URL: page})
    source = sns()
    for _ in range(3):
        with pytest.raises(UpstreamError):
            source.verify(request(signed(NOTIFICATION)), NOW, fetch)
    assert len(fetch.asked) == 1


def ask(source: Source, fetch: Any, number: int, seconds: float, address: str = "93.184.215.14") -> None:
    """A request of a stranger, with a certificate that is not there."""
    url = f"https://sns.eu-north-1.amazonaws.com/{number}.pem"
    with pytest.raises(UnknownCertificate):
        webhook = request(signed({**NOTIFICATION, "SigningCertURL": url}), remote_addr=address)
        source.verify(webhook, after(seconds), fetch)


def test_strangers_make_us_ask_for_few_certificates_and_are_forgotten() -> None:
    source, fetch = sns(), upstream()
    source.verify(request(signed(NOTIFICATION)), NOW, fetch)
    for number in range(40):
        ask(source, fetch, number, 1)
    assert len(fetch.asked) == 1 + 10
    source.verify(request(signed(NOTIFICATION)), after(2), fetch)
    for number in range(40):
        ask(source, fetch, 100 + number, 70 + number * 6)
    assert len(fetch.asked) == 51
    certificates: Any = source._scheme
    assert len(certificates._certificates._failed) == 16
    source.verify(request(signed(NOTIFICATION)), after(700), fetch)
    assert len(fetch.asked) == 52, "one that is known is asked for again whatever strangers do"


@pytest.mark.parametrize(
    "addresses",
    [
        ["93.184.215.14"],
        ["::ffff:93.184.215.14", "93.184.215.14"],
        [f"2606:2800:21f:cb07::{number:x}" for number in range(1, 60)],
    ],
)
def test_one_stranger_does_not_keep_the_genuine_certificate_from_being_had(addresses: list[str]) -> None:
    source, fetch = sns(), Upstream({})
    for second in range(120):
        ask(source, fetch, second, second, addresses[second % len(addresses)])
    assert len(fetch.asked) == 20
    fetch.pages = upstream().pages
    source.verify(request(signed(NOTIFICATION), remote_addr="54.239.98.10"), after(120), fetch)


def test_many_strangers_together_make_us_ask_60_times_a_minute() -> None:
    source, fetch = sns(), Upstream({})
    for number in range(200):
        ask(source, fetch, number, number / 5, f"93.184.215.{number}")
    assert len(fetch.asked) == 60


@pytest.mark.parametrize("address", ["", "10.0.0.1"])
def test_an_address_that_may_be_everybody_s_has_no_limit_of_its_own(address: str) -> None:
    source, fetch = sns(), Upstream({})
    for number in range(100):
        ask(source, fetch, number, 1, address)
    assert len(fetch.asked) == 60


def test_what_has_verified_a_request_is_not_pushed_out_by_what_has_not() -> None:
    urls = [CERT_URL, *(f"https://sns.eu-north-1.amazonaws.com/{number}.pem" for number in range(40))]
    fetch = Upstream(dict.fromkeys(urls, certificate("sns.amazonaws.com")))
    source = sns()
    source.verify(request(signed(NOTIFICATION)), NOW, fetch)
    for number, url in enumerate(urls[1:]):
        forged = json.dumps({**json.loads(signed(NOTIFICATION)), "SigningCertURL": url, "Message": "x"})
        refused(source, forged.encode(), fetch)
        source.verify(request(signed(NOTIFICATION)), after(number), fetch)
    assert [url for url, _, _ in fetch.asked].count(CERT_URL) == 1


def test_a_certificate_that_was_pushed_out_meanwhile_is_not_proved() -> None:
    certificates: Certificates[bytes] = Certificates(bytes)
    certificates.prove("https://a.example/a.pem")
    with pytest.raises(UnknownCertificate):
        certificates.get("https://a.example/a.pem", NOW, Upstream({}), "")


class Slow:
    """Answers when it is let go on."""

    def __init__(self, page: bytes | None) -> None:
        self.page = page
        self.asked: list[str] = []
        self.began, self.go_on = threading.Event(), threading.Event()

    def __call__(self, url: str, _hosts: frozenset[str], _most: int) -> bytes:
        self.asked.append(url)
        self.began.set()
        assert self.go_on.wait(10)
        if self.page is None:
            raise UpstreamError("away")
        return self.page


def in_thread(run: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    found: list[object] = []

    def go() -> None:
        try:
            found.append(run())
        except UpstreamError as error:
            found.append(type(error))

    thread = threading.Thread(target=go)
    thread.start()
    return thread, found


def test_a_stale_certificate_serves_on_while_one_thread_looks() -> None:
    certificates: Certificates[bytes] = Certificates(bytes)
    certificates.get(CERT_URL, NOW, Upstream({CERT_URL: b"old"}), "")
    slow = Slow(b"new")
    thread, found = in_thread(lambda: certificates.get(CERT_URL, after(700), slow, ""))
    assert slow.began.wait(10)
    started = time.monotonic()
    assert [certificates.get(CERT_URL, after(700), slow, "") for _ in range(24)] == [b"old"] * 24
    assert time.monotonic() - started < 0.5
    slow.go_on.set()
    thread.join(10)
    assert (found, slow.asked) == ([b"new"], [CERT_URL])


def test_few_wait_for_a_certificate_that_is_not_known_and_get_it() -> None:
    certificates: Certificates[bytes] = Certificates(bytes)
    slow = Slow(b"new")
    looking = [in_thread(lambda: certificates.get(CERT_URL, NOW, slow, ""))]
    assert slow.began.wait(10)
    looking += [in_thread(lambda: certificates.get(CERT_URL, NOW, slow, "")) for _ in range(8)]
    deadline = time.monotonic() + 10
    while sum(not thread.is_alive() for thread, _ in looking) < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    slow.go_on.set()
    for thread, _ in looking:
        thread.join(10)
    found = [one for _, (one,) in looking]
    assert (found.count(b"new"), found.count(UnknownCertificate)) == (3, 6)
    assert slow.asked == [CERT_URL]


def test_fetches_that_hang_are_waited_for_by_few_threads_and_not_long() -> None:
    certificates: Certificates[bytes] = Certificates(bytes)
    slow = Slow(None)
    started = time.monotonic()
    threads = [
        in_thread(lambda n=n: certificates.get(f"https://a.example/{n}", NOW, slow, ""))[0]
        for n in range(12)  # type: ignore[misc]
    ]
    deadline = time.monotonic() + 10
    while sum(thread.is_alive() for thread in threads) > 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(slow.asked) == 4
    with pytest.raises(UnknownCertificate):
        certificates.get("https://a.example/0", NOW, slow, "")
    assert time.monotonic() - started < 3
    slow.go_on.set()
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("start", [NOW - timedelta(days=60), NOW + timedelta(days=1)])
def test_a_certificate_must_be_valid_now(start: datetime) -> None:
    fetch = Upstream({CERT_URL: certificate("sns.amazonaws.com", start=start)})
    refused(sns(), signed(NOTIFICATION), fetch)


def test_a_certificate_must_have_an_rsa_key() -> None:
    fetch = Upstream({CERT_URL: certificate("sns.amazonaws.com", ec.generate_private_key(ec.SECP256R1()))})
    refused(sns(), signed(NOTIFICATION), fetch)


# --- PayPal -------------------------------------------------------------------------------------------------------

PAYPAL_URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"
PAYPAL = {**PRESETS["paypal"]["verify"], "webhook_id": "WH-1"}
EVENT = b'{"id":"WH-EX-1","event_type":"BILLING.SUBSCRIPTION.ACTIVATED"}'


def paypal_headers(body: bytes = EVENT, webhook_id: str = "WH-1", sent: str = "2026-11-22T11:59:00Z") -> dict[str, str]:
    text = f"tr-1|{sent}|{webhook_id}|{zlib.crc32(body)}"
    return {
        "paypal-transmission-id": "tr-1",
        "paypal-transmission-time": sent,
        "paypal-transmission-sig": base64.b64encode(KEY.sign(text.encode(), padding.PKCS1v15(), SHA256())).decode(),
        "paypal-cert-url": PAYPAL_URL,
        "paypal-auth-algo": "SHA256withRSA",
    }


def paypal_upstream(name: str = "messageverificationcerts.paypal.com") -> Upstream:
    return Upstream({PAYPAL_URL: certificate(name)})


def test_a_genuine_paypal_event_is_accepted() -> None:
    fetch = paypal_upstream()
    a_source(PAYPAL).verify(request(EVENT, paypal_headers()), NOW, fetch)
    assert fetch.asked == [(PAYPAL_URL, frozenset({"api.paypal.com"}), 65_536)]


def test_a_changed_body_or_webhook_id_is_refused() -> None:
    refused(a_source(PAYPAL), EVENT + b" ", paypal_upstream(), **paypal_headers())
    refused(a_source(PAYPAL), EVENT, paypal_upstream(), **paypal_headers(webhook_id="WH-2"))


@pytest.mark.parametrize("name", list(paypal_headers()))
@pytest.mark.parametrize("value", ["", "x", "a,b", "\xff", "SHA1withRSA", "https://evil.example/cert", "tr|1"])
def test_every_paypal_header_counts(name: str, value: str) -> None:
    refused(a_source(PAYPAL), EVENT, paypal_upstream(), **{**paypal_headers(), name: value})


@pytest.mark.parametrize(
    "url",
    [
        PAYPAL_URL.replace("https:", "http:"),
        PAYPAL_URL.replace("api.paypal.com", "api.paypal.com.evil.example"),
        PAYPAL_URL.replace("api.paypal.com", "api.paypal.com@evil.example"),
        PAYPAL_URL.replace("api.paypal.com", "api.paypal.com:444"),
        PAYPAL_URL.replace("api.paypal.com", "www.paypal.com"),
        PAYPAL_URL.replace("/certs/", "/\tcerts/"),
        PAYPAL_URL.replace("/certs/", "/certs/../"),
        PAYPAL_URL.replace("/v1/notifications", "/v2"),
        f"{PAYPAL_URL}/x",
        f"{PAYPAL_URL}?x=1",
        f"{PAYPAL_URL}#x",
        f" {PAYPAL_URL}",
    ],
)
def test_a_paypal_certificate_at_a_strange_place_is_never_fetched(url: str) -> None:
    fetch = paypal_upstream()
    refused(a_source(PAYPAL), EVENT, fetch, **{**paypal_headers(), "paypal-cert-url": url})
    assert fetch.asked == []


@pytest.mark.parametrize("name", ["paypal.com.evil.example", "evil.example", "notpaypal.com"])
def test_somebody_else_s_certificate_is_refused(name: str) -> None:
    refused(a_source(PAYPAL), EVENT, paypal_upstream(name), **paypal_headers())


@pytest.mark.parametrize("sent", ["2026-11-19T11:00:00Z", "2026-11-22T12:06:00Z", "now"])
def test_a_stale_or_early_transmission_is_refused(sent: str) -> None:
    refused(a_source(PAYPAL), EVENT, paypal_upstream(), **paypal_headers(sent=sent))
