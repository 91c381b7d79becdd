"""`demo --serve`: what it says to send, and what it tells of rules that change under it."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.cli.main import main
from router.cli.staying import WatchedRules, first_sample, how_to_send
from router.dispatch.rules import load_project
from router.settings import read_settings
from tests.cli.conftest import SOURCE, World

STRIPE = "source: {name: stripe, secret: $env.CRM_SECRET}\nto: app\nrules: {any: {user: .id, set: {email: .type}}}\n"
KINDE = (
    "source: {name: kinde, verify: {jwks_url: https://a.kinde.com/.well-known/jwks, issuer: https://a.kinde.com}}\n"
    "to: app\nrules: {any: {user: .data.user.id, set: {email: .data.user.email}}}\n"
)


def sample_of(world: World) -> str | None:
    found = first_sample(load_project(read_settings()), world.rules)
    return found and found.name


def test_the_line_to_copy_sends_a_sample_of_these_rules(world: World, tmp_path: Path) -> None:
    said = how_to_send(load_project(read_settings()), world.rules, tmp_path / "an environment")
    assert said.startswith("copy this line into another terminal:\n\n  . '")
    assert "/an environment' && " in said
    assert said.endswith(" -m router send crm/changed --wait\n")


def test_the_sample_is_one_that_goes_somewhere_rather_of_the_project(world: World) -> None:
    (world.rules / "stripe.yaml").write_text(STRIPE)
    assert sample_of(world) == "crm/changed"
    (world.rules / "samples" / "crm.about.json").write_text('{"body": {"kind": "about"}}')
    assert sample_of(world) == "crm/changed", "the other has no user"
    (world.rules / "crm.yaml").write_text(SOURCE.replace("user: .user", "when: other\n    user: .user"))
    assert str(sample_of(world)).startswith("stripe/")
    (world.rules / "stripe.yaml").unlink()
    assert sample_of(world) == "crm/about", "none goes anywhere"


def test_where_there_is_no_sample_the_file_to_add_is_named(world: World) -> None:
    (world.rules / "samples" / "crm.changed.json").unlink()
    (world.rules / "crm.yaml").write_text(SOURCE.partition("    tests:")[0])
    assert sample_of(world) is None
    said = how_to_send(load_project(read_settings()), world.rules, Path("environment"))
    assert said.startswith("needs a sample: record a request as ")
    assert "rules/samples/crm.<type>.json" in said
    (world.rules / "crm.yaml").write_text(KINDE)
    assert sample_of(world) is None, "nobody but the sender can sign it"
    (world.rules / "crm.yaml").unlink()
    assert "samples/SOURCE.<type>.json" in how_to_send(load_project(read_settings()), world.rules, Path("environment"))


def test_rules_that_are_refused_are_told_once_and_that_they_run_again(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> str:
        for _ in range(3):
            watched.look()
        return capsys.readouterr().err

    monkeypatch.chdir(world.rules.parent)
    path = world.rules / "crm.yaml"
    watched = WatchedRules(read_settings())
    first = load_project(read_settings()).revision
    assert told() == ""
    path.write_text(SOURCE.replace("plan: .plan", "plna: .plan"))
    said = told().splitlines()
    assert said[0] == f"rules      refused, {first} runs on:"
    assert said[1].startswith("rules/crm.yaml:11:26: error[unknown-trait] unknown trait 'plna' (did you mean 'plan'?")
    assert len(said) == 2, "warnings are left to `check`"
    path.write_text(path.read_text() + "# the same error\n")
    assert told() == ""
    path.write_text(SOURCE)
    assert told() == f"rules      {first} runs\n"
    path.write_text(SOURCE + "# more\n")
    assert told() == f"rules      {load_project(read_settings()).revision} runs\n"
    path.write_text(SOURCE.replace("CRM_SECRET", "NEW_SECRET"))
    *_, place, hint = told().splitlines()
    assert place.endswith("source crm: $env.NEW_SECRET is not set, or blank")
    assert hint == "a secret that is new gets its made-up value when this is started again"


def test_the_demo_takes_the_rules_of_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = world.run("demo", code=2)
    assert "the demo tells a story of the example's senders: no source 'stripe'; there is crm\n" in said
    assert "router demo --serve runs these rules" in said
    monkeypatch.setenv("ROUTER_RULES", "nowhere")
    assert world.run("demo", "--serve", code=2).startswith("error: no rules directory at nowhere: set ROUTER_RULES")
    assert "story of the example's senders" in world.run("demo", "--rules", str(world.rules), code=2)
    assert "[default: rules" not in world.runner.invoke(main, ["demo", "--help"]).output
