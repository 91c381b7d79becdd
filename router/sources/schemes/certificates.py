"""`sns` and `cert-signature`: RSA signatures whose certificate the request names, at hosts that we name."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.x509.oid import NameOID

from router.errors import SignatureError
from router.model import Webhook
from router.sources.jsontext import decode_json
from router.sources.schemes.base import (
    AnySecret,
    Fetcher,
    Param,
    Scheme,
    as_list,
    exact_base64,
    header_bytes,
    one_header,
)
from router.sources.schemes.keyset import Certificates

#: how far ahead a signed time may be
_AHEAD = timedelta(minutes=5)

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z")


class Sns(Scheme):
    """Amazon SNS: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html"""

    name = "sns"
    takes = "none"
    params: ClassVar[Mapping[str, Param]] = {
        "topics": Param("list", required=True),
        "versions": Param("list", choices=("1", "2")),
        "max_age": Param("seconds"),
    }

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        super().__init__(definition, secrets, url)
        self._topics = frozenset(definition["topics"])
        self._versions = frozenset(definition.get("versions", ["2"]))
        self._max_age = timedelta(seconds=definition.get("max_age", 3600))
        self._certificates = Certificates(x509.load_pem_x509_certificate)

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """Topic, age and the certificate's host first: they are cheap. Raw delivery is unsigned and refused."""
        if webhook.headers.get("x-amz-sns-rawdelivery", "").strip().lower() == "true":
            raise SignatureError("raw delivery is not signed")
        message = decode_json(webhook.body)
        if not isinstance(message, Mapping):
            raise SignatureError("the body is no message")
        if _text(message, "TopicArn") not in self._topics:
            raise SignatureError("another topic")
        version = _text(message, "SignatureVersion")
        if version not in self._versions:
            raise SignatureError("another signature version")
        check_time(_text(message, "Timestamp"), now, self._max_age)
        url = _text(message, "SigningCertURL")
        if not is_sns_url(url) or not _PEM_PATH.fullmatch(_behind_host(url)):
            raise SignatureError("the certificate is at a strange place")
        certificate = self._certificates.get(url, now, fetch, webhook.remote_addr)
        # version 1 is SHA1withRSA: taken only where the operator allows it
        digest: HashAlgorithm = SHA256() if version == "2" else SHA1()  # noqa: S303
        signature = exact_base64(_text(message, "Signature").encode())
        check_signature(certificate, signature, canonical_text(message), digest, now)
        self._certificates.prove(url)

    @property
    def text(self) -> str:
        return "sns, by certificate, in the body"


#: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
#: in place of the region anything else may be a customer's: `sns.s3-us-west-2.amazonaws.com` is a bucket called `sns`
_SNS_HOST = re.compile(r"sns\.[a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?")
_PEM_PATH = re.compile(r"/[A-Za-z0-9_-]{1,128}\.pem")
_CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")


def is_sns_url(url: Any) -> bool:
    """Whether a URL is https at an SNS host, without user or port."""
    if not isinstance(url, str) or not url.isascii() or any(c <= " " for c in url):
        return False
    return _SNS_HOST.fullmatch(_host(url)) is not None


def _host(url: str) -> str:
    """The host of an https URL, with whatever stands beside it; empty if it is no such URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme == "https" else ""


def _behind_host(url: str) -> str:
    """Path and whatever follows it, as written; the whole text if it is no https URL."""
    return url.removeprefix(f"https://{_host(url)}")


def canonical_text(message: Mapping[str, Any]) -> bytes:
    """The text that SNS signs."""
    names = ["Message", "MessageId"]
    kind = _text(message, "Type")
    if kind in _CONFIRMATIONS:
        names += ["SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    elif kind == "Notification":
        names += ["Subject", "Timestamp", "TopicArn", "Type"] if message.get("Subject") is not None else _REST
    else:
        raise SignatureError("an unknown type of message")
    return "".join(f"{name}\n{_text(message, name)}\n" for name in names).encode()


_REST = ["Timestamp", "TopicArn", "Type"]


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        raise SignatureError(f"{name} is not text")
    return value


#: other paths of these hosts may show what a customer has put there
_PAYPAL_PATH = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,128}")


class CertSignature(Scheme):
    """PayPal: https://developer.paypal.com/api/rest/webhooks/rest/#link-selfverificationmethod

    The body enters by its CRC-32 only, which is no protection against a chosen body with the same sum: where an event
    grants something, look the resource up.
    """

    name = "cert-signature"
    takes = "none"
    params: ClassVar[Mapping[str, Param]] = {
        "webhook_id": Param(required=True),
        "cert_hosts": Param("hosts"),
        "max_age": Param("seconds"),
    }

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        super().__init__(definition, secrets, url)
        self._hosts = frozenset(as_list(definition.get("cert_hosts", ["api.paypal.com"])))
        # tries go on for three days, https://developer.paypal.com/api/rest/webhooks/
        self._max_age = timedelta(seconds=definition.get("max_age", 259_200))
        self._certificates = Certificates(x509.load_pem_x509_certificate)

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """The certificate's host is checked before anything is fetched, its subject and dates after."""
        event_id = one_header(webhook, "paypal-transmission-id")
        sent_at = one_header(webhook, "paypal-transmission-time")
        signature = exact_base64(header_bytes(one_header(webhook, "paypal-transmission-sig")))
        url = one_header(webhook, "paypal-cert-url")
        if webhook.headers.get("paypal-auth-algo") != "SHA256withRSA":
            raise SignatureError("another algorithm")
        if "|" in event_id:
            raise SignatureError("the id has what separates it from the time")
        check_time(sent_at, now, self._max_age)
        if _host(url) not in self._hosts or not _PAYPAL_PATH.fullmatch(_behind_host(url)):
            raise SignatureError("the certificate is at a strange place")
        certificate = self._certificates.get(url, now, fetch, webhook.remote_addr)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if not any(str(name.value).endswith(".paypal.com") for name in names):
            raise SignatureError("the certificate is somebody else's")
        text = f"{event_id}|{sent_at}|{self.definition['webhook_id']}|{zlib.crc32(webhook.body)}"
        check_signature(certificate, signature, text.encode(), SHA256(), now)
        self._certificates.prove(url)

    @property
    def text(self) -> str:
        return "cert-signature in paypal-transmission-sig"


def check_time(text: str, now: datetime, max_age: timedelta) -> None:
    """Refuses a signed time, as `2026-01-10T00:00:00.000Z`, that is too old or ahead."""
    if not _TIME.fullmatch(text):
        raise SignatureError("the signed time cannot be read")
    try:
        age = now - datetime.fromisoformat(text)
    except ValueError:
        raise SignatureError("the signed time is none") from None
    if age > max_age or -age > _AHEAD:
        raise SignatureError("the signed time is too far from now")


def check_signature(
    certificate: x509.Certificate, signature: bytes, text: bytes, digest: HashAlgorithm, now: datetime
) -> None:
    """RSA with PKCS #1 v1.5 padding, by a certificate that is valid now. Raises `SignatureError`."""
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise SignatureError("the certificate is not valid now")
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise SignatureError("the certificate has no RSA key")
    try:
        key.verify(signature, text, padding.PKCS1v15(), digest)
    except InvalidSignature:
        raise SignatureError("the signature is another one") from None
