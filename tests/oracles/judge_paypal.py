"""PayPal's own library judges requests. The topic as JSON on stdin, the same with verdicts on stdout.

Runs in an environment of its own: the library is archived and needs an old pyOpenSSL. It fetches certificates from the
topic's pages, and trusts the test authority in them instead of the one it ships.
"""

import contextlib
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import requests
from paypalrestsdk import WebhookEvent


def main() -> None:
    (topic,) = json.load(sys.stdin)
    topic["version"] = version("paypalrestsdk")
    pages = topic["pages"]

    def get(url: str) -> SimpleNamespace:
        if url not in pages:
            raise requests.exceptions.ConnectionError
        return SimpleNamespace(text=pages[url])

    requests.get = get
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(sys.stderr):
        authority = Path(directory) / "authority.pem"
        authority.write_text(pages["authority"])
        WebhookEvent._WebhookEvent__cert_chain_path = [str(authority)]
        for question in topic["questions"]:
            question["accepted"] = judge(question, topic["verify"]["webhook_id"])
    del pages["authority"]
    json.dump([topic], sys.stdout)


def judge(question: dict, webhook_id: str) -> bool:
    given = {name.removeprefix("paypal-"): value for name, value in question["headers"].items()}
    try:
        return WebhookEvent.verify(
            given["transmission-id"],
            given["transmission-time"],
            webhook_id,
            question["body"],
            given["cert-url"],
            given["transmission-sig"],
            given["auth-algo"],
        )
    except Exception:  # whatever it breaks on it has not accepted
        return False


if __name__ == "__main__":
    main()
