"""Every known sender, imitated by `send` as its page says, over HTTP to the real web and on to a provider's sandbox."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from werkzeug.serving import make_server

from router.cli.fakes import fake_environment, sandbox_destinations
from router.cli.main import main
from router.dispatch.rules import load_project
from router.dispatch.worker import Worker
from router.sandbox import Sandbox
from router.settings import Settings, read_settings
from router.sources import PRESETS
from router.store import schema
from router.store.migrations import upgrade
from router.store.store import Store, open_store
from router.web import create_app
from tests.test_docs import DESTINATION, ROOT
from tests.test_source_pages import block, section, users

#: what only the sender can sign
ONLY_SENDERS = {"kinde", "fusionauth", "google-pubsub", "keycloak-phasetwo-jwt", "aws-sns", "paypal"}
#: whose signature covers the body and the time of the delivery
TIMED = {
    *("stripe", "calendly", "workos", "paddle", "recurly", "slack", "zoom", "hubspot"),
    *("standard-webhooks", "svix", "clerk", "stytch", "supabase-auth"),
}
#: whose signature covers the body alone
BODY_ONLY = {
    *("github", "intercom", "segment", "lemonsqueezy", "keycloak-phasetwo", "shopify", "woocommerce", "typeform"),
    *("tally", "adyen-platform", "square"),
}
#: whose token says when it was made, and not for what
TIME_ONLY = {"frontegg"}
#: the sender whose events two rules are for
TWO_RULES = "github"
IMITABLE = sorted(set(PRESETS) - ONLY_SENDERS)
ACCEPTED = {"cloudevents": 202}


@dataclass
class Town:
    """A router that every sender may post to."""

    store: Store
    #: one rules directory per sender
    rules: Path
    secrets: dict[str, str]
    runner: CliRunner

    def run(self, name: str, *words: str) -> tuple[int, str]:
        """Exit code and output of a command with the rules of one sender."""
        result = self.runner.invoke(main, list(words), env={"ROUTER_RULES": str(self.rules / name)})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def stored(self, name: str) -> list[Any]:
        """The events of a sender, oldest first."""
        table = schema.events
        with self.store.read() as tx:
            return list(tx.execute(select(table).where(table.c.source == name).order_by(table.c.id)))


def sample_of(name: str) -> str:
    """What the page's sample is called."""
    kind = re.search(r"`([^`]+)`", section(name, "Sample"))
    assert kind is not None
    return f"{name}/{kind[1]}"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    base = tmp_path_factory.mktemp("town")
    for name in PRESETS:
        user = f"user: '{users(name)[0]} else skip'"
        more = f", more: {{{user}, set: {{country: NO}}}}" if name == TWO_RULES else ""
        rules = f"to: moesif\nrules: {{any: {{{user}, set: {{city: Bergen}}}}{more}}}\n"
        for directory in (base / name, base / "all"):
            directory.mkdir(exist_ok=True)
            (directory / "destinations.yaml").write_bytes(DESTINATION)
            (directory / f"{name}.yaml").write_text(block(name, "Rule file", "yaml") + rules)
    bare = load_project(Settings(rules=base / "all"), reveal=str)
    secrets = fake_environment(bare)
    with pytest.MonkeyPatch.context() as patch, Sandbox(sandbox_destinations_of(bare, secrets)) as sandbox:
        environment = {
            **secrets,
            "DATABASE_URL": f"sqlite:///{base / 'router.db'}",
            "ROUTER_RULES": str(base / "all"),
            "ROUTER_KEY": "k" * 40,
            "ROUTER_DEV": "1",
            "ROUTER_SANDBOX": sandbox.url,
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(ROOT)
        upgrade(environment["DATABASE_URL"])
        project, settings = load_project(read_settings()), read_settings()
        store = open_store(settings.database_url, role="web")
        server = make_server("127.0.0.1", 0, create_app(lambda: project.sources, store, settings), threaded=True)
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        patch.setenv("ROUTER_URL", f"http://127.0.0.1:{server.port}")
        worker = Worker(store, project, settings, key=settings.key)
        worker.start()
        yield Town(store, base, secrets, CliRunner())
        assert worker.stop()
        server.shutdown()
        serving.join()
        server.server_close()
        store.close()


def sandbox_destinations_of(project: Any, secrets: dict[str, str]) -> Any:
    """What the sandbox serves, with these secrets in the environment while it is asked."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in secrets.items():
            patch.setenv(name, value)
        return sandbox_destinations(project)


def test_every_preset_is_here() -> None:
    tokens = set(IMITABLE) - TIMED - BODY_ONLY - TIME_ONLY
    assert tokens | TIMED | BODY_ONLY | TIME_ONLY | ONLY_SENDERS == set(PRESETS)
    schemes = {PRESETS[name]["verify"].get("scheme") for name in tokens}
    assert schemes == {"token", "basic", None}


@pytest.mark.parametrize("name", IMITABLE)
def test_a_sample_is_accepted_and_stored_once_as_what_it_is(town: Town, name: str) -> None:
    before = len(town.stored(name))
    code, said = town.run(name, "send", sample_of(name), "--user", "sent")
    assert (code, said.splitlines()[-1].split()[0]) == (0, str(ACCEPTED.get(name, 200))), said
    (event,) = town.stored(name)[before:]
    assert event.type == sample_of(name).partition("/")[2]
    assert event.conflicts == 0


@pytest.mark.parametrize("name", sorted(ONLY_SENDERS))
def test_what_only_the_sender_can_sign_is_explained_instead(town: Town, name: str) -> None:
    code, said = town.run(name, "send", sample_of(name))
    assert code == 2
    assert f"a webhook of {name} cannot be imitated: " in said
    assert "only the sender can" in said
    words = shlex.split(said.splitlines()[-1])
    assert words[0] == "router"
    code, said = town.run(name, *words[1:])
    assert (code, said.splitlines()[-1]) == (0, "routed to 1 destination")
    assert town.stored(name) == []


@pytest.mark.parametrize("part", ["signature", "body", "time"])
@pytest.mark.parametrize("name", IMITABLE)
def test_what_is_spoilt_is_refused_where_it_is_covered(town: Town, name: str, part: str) -> None:
    covered = part == "signature" or name in TIMED or name in {"body": BODY_ONLY, "time": TIME_ONLY}[part]
    before = len(town.stored(name))
    code, said = town.run(name, "send", sample_of(name), "--tamper", part)
    if covered:
        assert (code, said.splitlines()[-1].split()[0]) == (0, "401"), said
        assert len(town.stored(name)) == before
        return
    assert code == 1
    assert f"does not cover the {part}" in said
    assert f"{ACCEPTED.get(name, 200)} in " in said


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("name", IMITABLE)
def test_a_printed_command_posts_the_same(town: Town, name: str) -> None:
    before = len(town.stored(name))
    code, command = town.run(name, "send", sample_of(name), "--print", "--user", "printed")
    assert code == 0
    assert not any(secret in command for secret in town.secrets.values())
    command = re.sub(r"(^|\| )curl ", r"\1curl -sS -o /dev/null -w %{http_code} ", command, count=1)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == (str(ACCEPTED.get(name, 200)), "")
    (event,) = town.stored(name)[before:]
    assert event.type == sample_of(name).partition("/")[2]


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_page_says_to_try_works(town: Town, name: str) -> None:
    before = len(town.stored(name))
    commands = [shlex.split(line) for line in block(name, "Try it").splitlines()]
    assert commands
    for words in commands:
        assert words[0] == "router"
        code, said = town.run(name, *words[1:])
        assert code == 0, said
    waited = [words for words in commands if "--wait" in words]
    assert all(event.state == "routed" for event in town.stored(name)[before:])
    assert len(town.stored(name)) - before == len(waited)
    assert name in ONLY_SENDERS or waited


def test_waiting_says_what_became_of_each_event_and_whom_it_changed(town: Town) -> None:
    code, said = town.run("stripe", "send", sample_of("stripe"), "--wait", "--user", "waited")
    answer, delivery = said.splitlines()[1:]
    assert (code, answer.endswith("✓ routed   person waited"), "delivered" in delivery) == (0, True, True), said
    body = str(town.rules / "hubspot.many.json")
    kinds = ["contact.creation", "contact.deletion", "contact.merge"]
    Path(body).write_text(json.dumps([{"subscriptionType": kind, "eventId": 1, "objectId": 7} for kind in kinds]))
    code, said = town.run("hubspot", "send", body, "--wait", "--user", "8")
    lines = said.splitlines()
    assert (code, lines[1].endswith(" ms   3 events")) == (0, True), said
    assert [line.split("   ", 1)[1] for line in lines if line.startswith("ev_")] == ["✓ routed   person 8"] * 3
    code, said = town.run("hubspot", "send", body, "--wait", "--user", "9", "--json")
    events = json.loads(said)["events"]
    assert [event["state"] for event in events] == ["routed"] * 3
    assert {delivery["profile"] for event in events for delivery in event["deliveries"]} == {"9"}


def test_what_was_stored_before_is_said_to_be_known(town: Town) -> None:
    words = ("stripe", "send", sample_of("stripe"), "--wait", "--id", "evt_twice", "--at", "2026-01-31T09:00:00Z")
    code, said = town.run(*words)
    assert (code, "known" in said) == (0, False), said
    code, said = town.run(*words)
    assert code == 0
    assert re.search(r" ms   ev_\w+   known already   ✓ routed   person", said)
    code, said = town.run(*words, "--set", ".livemode=false")
    assert "   known already, with another body   ✓ routed" in said
    (event,) = json.loads(town.run(*words, "--json")[1])["events"]
    assert event["known_already"] is True


def test_deliveries_of_several_rules_are_told_apart(town: Town) -> None:
    code, said = town.run("github", "send", sample_of("github"), "--wait", "--user", "twofold")
    rules = [line.split()[:2] for line in said.splitlines()[2:]]
    assert (code, rules) == (0, [["moesif", "github/any"], ["moesif", "github/more"]]), said
    event = re.search(r"ev_\w+", said)
    assert event is not None
    assert "   moesif   github/more   " in town.run("github", "events", event[0])[1]
    timeline = town.run("github", "profile", "twofold", "--timeline")[1]
    assert re.search(r"received github .+ rule github/any → ", timeline), timeline
    assert re.search(r"received github .+ rule github/more → ", timeline), timeline


def test_a_refusal_names_the_command_that_knows_why(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("stripe", "send", sample_of("stripe"))
    code, said = town.run(*words, "--tamper", "signature")
    assert (code, said.endswith(" ms   refused, as it should be\n")) == (0, True), said
    shutil.copytree(town.rules / "stripe", town.rules / "other")
    path = town.rules / "other" / "stripe.yaml"
    path.write_text(re.sub(r"\$env\.\w+", "$env.OTHER_SECRET", path.read_text()))
    monkeypatch.setenv("OTHER_SECRET", "another one than the router's")
    code, said = town.run("other", *words[1:])
    assert (code, said.endswith(" ms   why: router sources stripe\n")) == (1, True), said


def test_of_very_many_events_the_first_are_shown(town: Town) -> None:
    events = [{"subscriptionType": "contact.creation", "eventId": n, "objectId": n} for n in range(22)]
    (town.rules / "hubspot.most.json").write_text(json.dumps(events))
    code, said = town.run("hubspot", "send", str(town.rules / "hubspot.most.json"), "--wait")
    assert (code, said.count("ev_"), said.splitlines()[-1]) == (0, 20, "… and 2 more: router events source:hubspot")
