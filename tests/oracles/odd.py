"""Questions about senders that sign with certificates, tokens or items, and about events that need no signature."""

from __future__ import annotations

import base64
import hmac
import json
import zlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWS
from jwt.algorithms import RSAAlgorithm

from router.model import iso
from router.sources import sign
from tests.oracles.keys import authority, certificate, key
from tests.oracles.questions import HEX, HEX_OTHER, NOW, OTHER, SECRET, Question, Topic

# --- Kinde ------------------------------------------------------------------------------------------------------------

NOW_S = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "type": "user.updated",
    "event_id": "event_1",
    "event_timestamp": iso(NOW),
    "data": {"user": {"id": "kp_1", "email": "ann@corp.example"}},
}


def _token(claims: Any = None, signer: str = "kinde", **header: Any) -> str:
    payload = json.dumps(CLAIMS if claims is None else claims).encode()
    return PyJWS().encode(payload, key(signer), "RS256", headers={"kid": "kinde-1", **header})


def _forged(algorithm: str, secret: bytes) -> str:
    parts = [json.dumps({"alg": algorithm, "kid": "kinde-1"}).encode(), json.dumps(CLAIMS).encode()]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = b"" if algorithm == "none" else base64.urlsafe_b64encode(hmac.digest(secret, text, "sha256")).rstrip(b"=")
    return (text + b"." + mac).decode()


def kinde() -> Topic:
    jwk = {
        **RSAAlgorithm.to_jwk(key("kinde").public_key(), as_dict=True),
        "kid": "kinde-1",
        "use": "sig",
        "alg": "RS256",
    }
    pem = key("kinde").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, payload, signature = _token().split(".")
    other = base64.urlsafe_b64encode(json.dumps({**CLAIMS, "event_id": "event_2"}).encode()).rstrip(b"=").decode()
    bodies = {
        "genuine": _token(),
        "with a time to end": _token({**CLAIMS, "exp": NOW_S + 60}),
        "of another key": _token(signer="stranger"),
        "an unknown key id": _token(kid="kinde-2"),
        "other claims": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{payload}.",
        "two parts": f"{head}.{payload}",
        "half a signature": f"{head}.{payload}.{signature[:40]}",
        "junk behind the signature": _token() + "!!!!",
        "an idle bit in the signature": f"{head}.{payload}.{signature[:-1]}{_next(signature[-1])}",
        "no algorithm": _forged("none", b""),
        "an HMAC with the public key": _forged("HS256", pem),
        "over for an hour": _token({**CLAIMS, "exp": NOW_S - 3600}),
        "over for half a minute": _token({**CLAIMS, "exp": NOW_S - 30}),
        "not valid yet": _token({**CLAIMS, "nbf": NOW_S + 3600}),
        "nothing": "",
        "JSON instead": json.dumps(CLAIMS),
    }
    headers = {"content-type": "application/jwt"}
    questions = [Question(name, body, headers, made_by="hand") for name, body in bodies.items()]
    keys = {"keys": [jwk]}
    return Topic("npm:@kinde/webhooks", "kinde", "", questions, {"jwks": keys}, {"jwks": json.dumps(keys)})


def _next(letter: str) -> str:
    """The letter after this one in base64: the last of a signature has bits that nobody reads."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) ^ 1]


# --- SNS --------------------------------------------------------------------------------------------------------------

TOPIC = "arn:aws:sns:eu-north-1:111122223333:users"
CERT_URL = "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-for-tests-only.pem"
MESSAGE: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "cccc-1",
    "TopicArn": TOPIC,
    "Message": '{"triggerSource":"PostConfirmation_ConfirmSignUp","name":"Zoë"}',
    "Timestamp": "2026-11-22T11:59:00.000Z",
    "SignatureVersion": "2",
    "SigningCertURL": CERT_URL,
    "UnsubscribeURL": "https://sns.eu-north-1.amazonaws.com/?Action=Unsubscribe",
}
SUBSCRIPTION = {
    **MESSAGE,
    "Type": "SubscriptionConfirmation",
    "Token": "t-1",
    "SubscribeURL": "https://sns.eu-north-1.amazonaws.com/?Action=ConfirmSubscription&Token=t-1",
}
#: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")


def _sns(message: Mapping[str, Any], signer: str = "sns", **after: Any) -> str:
    names = _NOTIFICATION if message["Type"] == "Notification" else _CONFIRMATION
    text = "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)
    digest = SHA1() if message["SignatureVersion"] == "1" else SHA256()
    signature = key(signer).sign(text.encode(), padding.PKCS1v15(), digest)
    whole = {**message, "Signature": base64.b64encode(signature).decode(), **after}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}, ensure_ascii=False)


def sns() -> Topic:
    at_bucket = "https://sns.s3-us-west-2.amazonaws.com/x.pem"
    bodies = {
        "genuine": _sns(MESSAGE),
        "with a subject": _sns({**MESSAGE, "Subject": "Hello"}),
        "with a subject of null": _sns(MESSAGE, Subject=None),
        "with attributes": _sns(MESSAGE, MessageAttributes={"role": {"Type": "String", "Value": "admin"}}),
        "a confirmation": _sns(SUBSCRIPTION),
        "an end of the subscription": _sns({**SUBSCRIPTION, "Type": "UnsubscribeConfirmation"}),
        "another message": _sns(MESSAGE, Message="x"),
        "another id": _sns(MESSAGE, MessageId="x"),
        "another time": _sns(MESSAGE, Timestamp="2026-11-22T11:59:01.000Z"),
        "another type": _sns(MESSAGE, Type="SubscriptionConfirmation", Token="t", SubscribeURL="https://x.example"),
        "a subject put in": _sns(MESSAGE, Subject="Hello"),
        "a subject taken out": _sns({**MESSAGE, "Subject": "Hello"}, Subject=...),
        "a confirmation of another URL": _sns(SUBSCRIPTION, SubscribeURL="https://sns.eu-north-1.amazonaws.com/?x"),
        "of another key": _sns(MESSAGE, "stranger"),
        "no signature": _sns(MESSAGE, Signature=""),
        "junk behind the signature": _sns(MESSAGE).replace('=="', '==!!!!"'),
        "version 1": _sns({**MESSAGE, "SignatureVersion": "1"}),
        "version 1 called version 2": _sns({**MESSAGE, "SignatureVersion": "1"}, SignatureVersion="2"),
        "version 3": _sns(MESSAGE, SignatureVersion="3"),
        "another topic": _sns({**MESSAGE, "TopicArn": TOPIC + "2"}),
        "a week old": _sns({**MESSAGE, "Timestamp": "2026-11-15T11:59:00.000Z"}),
        "a certificate by http": _sns(MESSAGE, SigningCertURL=CERT_URL.replace("https:", "http:")),
        "a certificate elsewhere": _sns(MESSAGE, SigningCertURL="https://evil.example/x.pem"),
        "a certificate behind a user": _sns(MESSAGE, SigningCertURL=CERT_URL.replace("//", "//x@")),
        "a certificate at another port": _sns(MESSAGE, SigningCertURL=CERT_URL.replace(".com/", ".com:444/")),
        "a certificate in a bucket called sns": _sns(MESSAGE, "stranger", SigningCertURL=at_bucket),
        "no certificate": _sns(MESSAGE, SigningCertURL=...),
        "a list": "[]",
        "no JSON": "x",
    }
    questions = [
        Question(name, body, {"content-type": "text/plain; charset=UTF-8"}, made_by="hand")
        for name, body in bodies.items()
    ]
    pages = {
        CERT_URL: certificate("sns", "sns.amazonaws.com"),
        at_bucket: certificate("stranger-as-sns", "sns.amazonaws.com", by="itself"),
    }
    return Topic("npm:sns-validator", "aws-sns", "", questions, {"topics": [TOPIC]}, pages)


# --- PayPal -----------------------------------------------------------------------------------------------------------

PAYPAL = "https://api.paypal.com/v1/notifications/certs/CERT-"
PAYPAL_BODY = '{"id":"WH-EX-1","event_type":"BILLING.SUBSCRIPTION.ACTIVATED","create_time":"2026-11-22T11:59:00Z"}'


def _paypal(cert: str = "genuine", signer: str = "paypal", crc: int | None = None, **changes: str) -> dict[str, str]:
    given = {"id": "tr-1", "sent": "2026-11-22T11:59:00Z", "webhook": "WH-1", **changes}
    text = (
        f"{given['id']}|{given['sent']}|{given['webhook']}|{zlib.crc32(PAYPAL_BODY.encode()) if crc is None else crc}"
    )
    digest = SHA1() if given.get("algorithm") == "SHA1withRSA" else SHA256()
    return {
        "paypal-transmission-id": given["id"],
        "paypal-transmission-time": given["sent"],
        "paypal-transmission-sig": base64.b64encode(
            key(signer).sign(text.encode(), padding.PKCS1v15(), digest)
        ).decode(),
        "paypal-cert-url": given.get("url", PAYPAL + cert),
        "paypal-auth-algo": given.get("algorithm", "SHA256withRSA"),
    }


def paypal() -> Topic:
    good = _paypal()
    headers = {
        "genuine": good,
        "of another webhook": _paypal(webhook="WH-2"),
        "of another body": _paypal(crc=1),
        "of another key": _paypal(signer="stranger"),
        "another id": {**good, "paypal-transmission-id": "tr-2"},
        "another time": {**good, "paypal-transmission-time": "2026-11-22T11:59:01Z"},
        "no signature": {**good, "paypal-transmission-sig": ""},
        "half a signature": {**good, "paypal-transmission-sig": good["paypal-transmission-sig"][:40]},
        "junk in the signature": {
            **good,
            "paypal-transmission-sig": good["paypal-transmission-sig"].replace("==", "!=="),
        },
        "SHA-1": _paypal(algorithm="SHA1withRSA"),
        "SHA-1 called SHA-256": {**_paypal(algorithm="SHA1withRSA"), "paypal-auth-algo": "SHA256withRSA"},
        "an unknown algorithm": {**good, "paypal-auth-algo": "none"},
        "a month old": _paypal(sent="2026-10-22T11:59:00Z"),
        "a certificate elsewhere": _paypal(url="https://evil.example/v1/notifications/certs/CERT-genuine"),
        "a certificate by http": _paypal(url=PAYPAL.replace("https:", "http:") + "genuine"),
        "a certificate of somebody else": _paypal("somebody"),
        "a certificate that is over": _paypal("over"),
        "a certificate of no authority": _paypal("itself", "stranger"),
    }
    questions = [Question(name, PAYPAL_BODY, given, made_by="hand") for name, given in headers.items()]
    questions.insert(1, Question("a changed body", PAYPAL_BODY.replace("EX-1", "EX-2"), good, made_by="hand"))
    questions.insert(2, Question("no body", "", good, made_by="hand"))
    genuine = certificate("paypal", "for-tests-only.paypal.com")
    pages = {
        PAYPAL + "genuine": genuine,
        "https://evil.example/v1/notifications/certs/CERT-genuine": genuine,
        PAYPAL.replace("https:", "http:") + "genuine": genuine,
        PAYPAL + "somebody": certificate("paypal-as-somebody", "for-tests-only.paypal.com.evil.example"),
        PAYPAL + "over": certificate("paypal-as-over", "for-tests-only.paypal.com", until=2021),
        PAYPAL + "itself": certificate("stranger-as-paypal", "for-tests-only.paypal.com", by="itself"),
        "authority": authority(),
    }
    return Topic("pypi:paypalrestsdk", "paypal", "", questions, {"webhook_id": "WH-1"}, pages)


# --- Adyen's items ----------------------------------------------------------------------------------------------------

ITEM: dict[str, Any] = {
    "pspReference": "EXAMPLE0PSP00001",
    "merchantAccountCode": "Corp_ECOM",
    "merchantReference": "order:1\\2",
    "amount": {"value": 1000, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
    "eventDate": "2026-01-10T01:00:00+01:00",
}


def _item(secret: str = HEX, item: Mapping[str, Any] = ITEM, **after: Any) -> dict[str, Any]:
    """An item, signed as Adyen's page says, and then changed."""
    names = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
    parts = [item.get(name, "") for name in names]
    parts += [item["amount"]["value"], item["amount"]["currency"], item["eventCode"], item["success"]]
    text = ":".join(map(str, parts)).encode()
    digest = base64.b64encode(hmac.digest(bytes.fromhex(secret), text, "sha256")).decode()
    return {**item, "additionalData": {"hmacSignature": digest, "shopperReference": "u1"}, **after}


def _notification(*items: Mapping[str, Any]) -> str:
    return json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in items]})


def adyen() -> Topic:
    good = _item()
    signature = good["additionalData"]["hmacSignature"]
    bodies = {
        "genuine": _notification(good),
        "two items": _notification(good, _item(item={**ITEM, "originalReference": "EXAMPLE0PSP00000"})),
        "another key": _notification(_item(HEX_OTHER)),
        **{
            f"another {name}": _notification({**good, name: "x"})
            for name in ("pspReference", "originalReference", "merchantAccountCode", "merchantReference", "eventCode")
        },
        "another success": _notification({**good, "success": "false"}),
        "another value": _notification({**good, "amount": {"value": 1001, "currency": "EUR"}}),
        "another currency": _notification({**good, "amount": {"value": 1000, "currency": "JPY"}}),
        "another date": _notification({**good, "eventDate": "2027-01-10T01:00:00+01:00"}),
        "another shopper": _notification(
            {**good, "additionalData": {"hmacSignature": signature, "shopperReference": "mallory"}}
        ),
        "no signature": _notification({**good, "additionalData": {}}),
        "a blank signature": _notification({**good, "additionalData": {"hmacSignature": ""}}),
        "junk behind the signature": _notification({**good, "additionalData": {"hmacSignature": signature + "!!!!"}}),
        "a forged second item": _notification(good, {**good, "pspReference": "x"}),
        "a forged first item": _notification({**good, "pspReference": "x"}, good),
    }
    questions = [Question(name, body, {}, made_by="hand") for name, body in bodies.items()]
    questions.append(Question("genuine, by the library", _notification(ITEM), None, made_by="library"))
    return Topic("npm:@adyen/api-library", "adyen", HEX, questions, {"scheme": "adyen-item"})


# --- a password: Chargebee --------------------------------------------------------------------------------------------


def chargebee() -> Topic:
    secret = f"router:{SECRET}:with a colon"
    good = sign({"scheme": "basic"}, b"", secret, now=NOW)["authorization"]

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    values = {
        "genuine": good,
        "the scheme in small letters": good.replace("Basic", "basic"),
        "the scheme in capitals": good.replace("Basic", "BASIC"),
        "another scheme": good.replace("Basic", "Bearer"),
        "two blanks": good.replace(" ", "  "),
        "another password": basic(f"router:{OTHER}"),
        "another user": basic(secret.replace("router", "mallory")),
        "no password": basic("router:"),
        "no colon": basic("router"),
        "junk behind": good + "!!!!",
        "blank": "",
        "only the scheme": "Basic",
        "no base64": "Basic !!!!",
    }
    questions = [Question(name, '{"id":"ev_1"}', {"authorization": value}) for name, value in values.items()]
    questions.append(Question("no header", '{"id":"ev_1"}', {}))
    questions.append(Question("an hour later", '{"id":"ev_1"}', {"authorization": good}, NOW + timedelta(hours=1)))
    return Topic("npm:chargebee", "chargebee", secret, questions)


def topics() -> list[Topic]:
    """All of these."""
    return [kinde(), sns(), paypal(), adyen(), chargebee()]
