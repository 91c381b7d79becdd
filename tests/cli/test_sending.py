"""`send`: finding, changing and printing samples. What each sender's look like over HTTP is in `test_senders.py`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from router.cli.curl import curl
from router.cli.opened import Opened, path_of
from router.cli.overriding import put_id, put_time, put_user
from router.cli.sending import assignment
from router.cli.webhooks import Overrides, Signed, compose, value_of
from router.errors import ConfigError
from router.ruleset import Project, load
from router.ruleset.samples import Sample, read_sample
from router.settings import Secret
from router.sources.examples import examples_of
from tests.cli.conftest import World

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DESTINATION = b"destinations:\n  moesif: {provider: moesif, application_id: $env.MOESIF_APPLICATION_ID}\n"


def project_of(source: str, user: str = ".id", when: str = "'*'") -> Project:
    rule = f"to: moesif\nrules: {{any: {{when: {when}, user: '{user}', set: {{email: .email}}}}}}\n"
    files = {"destinations.yaml": DESTINATION, "x.yaml": f"source: {source}\n{rule}".encode()}
    return load(files, {}, reveal=str)


def opened(preset: str, kind: str, source: str | None = None) -> tuple[Opened, Project, Sample]:
    """A shipped example, opened as a source of its preset opens it."""
    project = project_of(source or f"{{name: x, preset: {preset}, secret: $env.T}}")
    (example,) = [one for one in examples_of(preset) if one.type == kind]
    sample = read_sample(f"x.{kind}.json", example.data)
    return Opened(sample, project.sections["x"]), project, sample


# --- which sample -------------------------------------------------------------------------------------------------


def test_the_projects_samples_are_listed_and_shipped_ones_are_marked(world: World) -> None:
    (world.rules / "stripe.yaml").write_text(
        "source: {name: stripe, secret: $env.CRM_SECRET}\nto: app\nrules: {any: {user: .id, set: {email: .email}}}\n"
    )
    (world.rules / "samples" / "stripe.customer.updated.json").write_text('{"body": {"type": "customer.updated"}}')
    lines = world.run("send", "--list").splitlines()
    assert lines[0].split() == ["SAMPLE", "FROM"]
    rows = dict(line.split("   ")[:: len(line.split("   ")) - 1] for line in lines[1:])
    assert rows["crm/changed"].strip() == str(world.rules / "samples" / "crm.changed.json")
    assert rows["stripe/customer.created"].strip() == "shipped"
    assert rows["stripe/customer.updated"].strip() == str(world.rules / "samples" / "stripe.customer.updated.json")
    listed = [json.loads(line) for line in world.run("send", "--list", "--json").splitlines()]
    assert {row["name"] for row in listed if row["shipped"]} >= {"stripe/customer.deleted"}
    assert all(Path(row["path"]).is_file() for row in listed)


def test_a_sample_of_the_project_comes_before_a_shipped_one_of_its_type(world: World) -> None:
    (world.rules / "stripe.yaml").write_text(
        "source: {name: stripe, secret: $env.CRM_SECRET}\nto: app\nrules: {any: {user: .id, set: {email: .email}}}\n"
    )
    (world.rules / "samples" / "stripe.mine.json").write_text('{"body": {"type": "customer.created", "own": 1}}')
    assert '"own":1' in world.run("send", "stripe/customer.created", "--print")
    assert '"own":1' in world.run("send", "stripe/mine", "--print")
    assert "previous_attributes" in world.run("send", "stripe/customer.updated", "--print")


def test_of_several_samples_of_a_type_the_one_called_like_it_goes_by_it_and_all_are_listed(world: World) -> None:
    (world.rules / "samples" / "crm.changed-a.json").write_text('{"body": {"kind": "changed", "own": 1}}')
    (world.rules / "samples" / "crm.other.json").write_text('{"body": {"kind": "left", "own": 2}}')
    rows = [line.split()[0] for line in world.run("send", "--list").splitlines()[1:]]
    assert rows == ["crm/changed", "crm/changed-a", "crm/left"]
    assert '"own"' not in world.run("send", "crm/changed", "--print")
    assert '"own":1' in world.run("send", "crm/changed-a", "--print")
    assert '"own":2' in world.run("send", "crm/other", "--print")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["send"], "say which"),
        (["send", "crm/other"], "no sample of crm for 'other'; there is crm/changed\n"),
        (["send", "crm/chnaged"], "no sample of crm for 'chnaged'; did you mean crm/changed?"),
        (["send", "crn/changed"], "no source 'crn'; did you mean 'crm'?"),
        (["send", "other/changed"], "no source 'other'"),
        (["send", "crm/changed", "--set", "plan"], "write PATH=VALUE"),
        (["send", "crm/changed", "--set", "plan=x"], "not a path"),
        (["send", "crm/changed", "--set", ".plan.=x"], "not a path"),
        (["send", "crm/changed", "--set", ".=x"], "not a path"),
        (["send", "crm/changed", "--set", ".plan[0]=x"], "no place .plan[0]"),
        (["send", "crm/changed", "--set", ".kidn=x"], "no 'kidn' here, and nothing reads it; did you mean 'kind'?"),
        (["send", "crm/changed", "--set", ".idd=M-9"], "did you mean 'id'?"),
        (["send", "crm/changed", "--remove", ".nothing"], "nothing at .nothing: one of kind, id, at, user, plan"),
        (["send", "crm/changed", "--remove", ".paln"], "nothing at .paln: did you mean 'plan'?"),
        (["send", "crm/changed", "--remove", ".plan.x"], "nothing at .plan.x\n"),
        (["send", "crm/changed", "--user", ""], "--user is blank"),
        (["send", "crm/changed", "--id", " "], "--id is blank"),
        (["send", "crm/changed", "--wait", ""], "write 30s"),
        (["send", "crm/changed", "--at", "soon"], "write a time"),
        (["send", "crm/changed", "--at", "-99999999d"], "no calendar goes that far"),
        (["send", "crm/changed", "--at", "-999999999d"], "no calendar goes that far"),
        (["send", "crm/changed", "--at", "-" + "9" * 5000 + "s"], "write a time"),
        (["send", "crm/changed", "--at", "9999-12-31T23:59:59-14:00"], "no calendar goes that far"),
        (["send", "crm/changed", "--wait", "9" * 400], "write 30s"),
        (["send", "crm/changed", "--set", "$header.x-kind=a\nb"], "characters that a header cannot carry"),
        (["send", "crm/changed", "--wait", "long"], "write 30s"),
        (["send", "crm/changed", "--to", "http://127.0.0.1:1"], "cannot be reached"),
        (["send", "-"], "--source"),
        (["send", "-", "--source", "x"], "no source 'x'"),
    ],
)
def test_send_says_what_is_wrong(world: World, words: list[str], says: str) -> None:
    assert says in world.run(*words, code=2, stdin="{}")


def test_a_file_that_is_no_sample_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "crm.bad.json").write_text("{")
    (tmp_path / "crm.worse.json").write_text('{"body": {}, "headers": {}}')
    assert "is not JSON" in world.run("send", str(tmp_path / "crm.bad.json"), code=2)
    assert "unknown key 'headers'" in world.run("send", str(tmp_path / "crm.worse.json"), code=2)
    assert "unknown key 'headers'" in world.run("explain", str(tmp_path / "crm.worse.json"), code=2)


def test_a_file_nested_without_end_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "crm.deep.json").write_text("[" * 100_000)
    assert "nested deeper than 64" in world.run("send", str(tmp_path / "crm.deep.json"), code=2)
    assert "nested deeper than 64" in world.run("explain", str(tmp_path / "crm.deep.json"), code=2)


def test_a_bare_body_may_have_a_body(world: World, tmp_path: Path) -> None:
    (tmp_path / "crm.queue.json").write_text('{"kind": "x", "n": 1, "body": {}}')
    assert '"n":1' in world.run("send", str(tmp_path / "crm.queue.json"), "--print")


def test_a_body_comes_from_a_file_or_from_standard_input(world: World, tmp_path: Path) -> None:
    (tmp_path / "bare.json").write_text('{"kind": "x", "n": 1}')
    said = world.run("send", str(tmp_path / "bare.json"), "--source", "crm", "--print")
    assert '"n":1' in said
    assert '"n":2' in world.run("send", "-", "--source", "crm", "--print", stdin='{"n": 2}')


# --- what is changed ----------------------------------------------------------------------------------------------


def test_values_are_put_in_and_taken_out_and_the_rest_stays(world: World) -> None:
    said = world.run("send", "crm/changed", "--print", "--user", "u9", "--set", ".plan=gold", "--remove", ".at")
    assert said.startswith("curl -X POST http://127.0.0.1:8000/webhooks/crm ")
    assert '"user":"u9"' in said
    assert '"plan":"gold"' in said
    assert '"at"' not in said
    assert "x-signature" in said
    assert '"user":"router-sample-1"' in world.run("send", "crm/changed", "--print")


def test_paths_start_at_the_event_and_texts_are_opened_on_the_way() -> None:
    okta, _, _ = opened("okta", "user.lifecycle.create")
    okta.write(path_of('.target[.type == "User"].id'), "u9")
    okta.write(path_of(".debugContext.made.here"), True)
    okta.remove(path_of(".actor"))
    (event,) = okta.close()["data"]["events"]
    assert event["target"][0]["id"] == "u9"
    assert event["debugContext"]["made"] == {"here": True}
    assert "actor" not in event
    sns, _, _ = opened("aws-sns", "PostConfirmation_ConfirmSignUp", _SNS)
    sns.write(path_of(".Message.request.userAttributes.email"), "new@corp.example")
    assert json.loads(sns.close()["Message"])["request"]["userAttributes"]["email"] == "new@corp.example"
    pubsub, _, _ = opened("google-pubsub", "user.created", _PUBSUB)
    pubsub.write(path_of(".message.data.uid"), "fb9")
    assert pubsub.read(path_of(".message.data.uid")) == "fb9"
    reopened = Opened(Sample("x.y.json", pubsub.close(), {}, {}), pubsub._section)
    assert reopened.read(path_of(".message.data.uid")) == "fb9"


def test_base64_that_is_no_json_stays_text() -> None:
    project = project_of("{name: x, preset: zapier, secret: $env.T, envelope: {parse_base64: [.note, .odd, .no.way]}}")
    both = Opened(Sample("x.y.json", {"note": "aMOp", "odd": "?"}, {}, {}), project.sections["x"])
    assert both.read(path_of(".note")) == "hé"
    both.write(path_of(".note"), "hé!")
    assert both.close() == {"note": "aMOpIQ==", "odd": "?"}


def test_each_event_of_a_batch_is_changed() -> None:
    project = project_of("{name: x, preset: hubspot, secret: $env.T, url: 'https://x.example'}")
    batch = Opened(Sample("x.y.json", [{"a": [1, 2]}, {"a": [3, 4]}, 5], {}, {}), project.sections["x"])
    batch.write(path_of(".b"), 1)
    batch.remove(path_of(".a[0]"))
    assert batch.close() == [{"a": [2], "b": 1}, {"a": [4], "b": 1}, 5]
    batch.write(path_of(".a[]"), 0)
    assert batch.read(path_of(".a[-1]")) == 0
    with pytest.raises(ConfigError, match="no place"):
        batch.write(path_of(".a[5].x"), 1)


def test_a_name_that_nothing_has_or_reads_but_that_looks_like_one_is_misspelled(world: World) -> None:
    """As under `with:` of a test; `email` is read, `remark` is like nothing, and is sent."""
    said = world.run("send", "crm/changed", "--print", "--set", ".email=a@b.example", "--set", ".remark=1")
    assert '"remark":1' in said
    project = project_of("{name: x, preset: hubspot, secret: $env.T, url: 'https://x.example'}")
    batch = Opened(
        Sample("x.y.json", [{"a": [{"value": 1}, 5]}, {"a": [{}], "total": 2}], {"x-kind": "k"}, {}),
        project.sections["x"],
    )
    for path in (
        ".a[0].value",
        ".total",
        ".a[].new",
        ".a[7].valu",
        ".other",
        ".a.valu",
        "$header.x-kind",
        "$query.kind",
    ):
        batch.require_known(path_of(path), set())
    for path in (".a[0].valu", ".a[].valu", ".totall", ".totla.x", "$header.X-Kidn"):
        with pytest.raises(ConfigError, match="did you mean"):
            batch.require_known(path_of(path), set())
    batch.require_known(path_of(".a[0].valu"), {"valu"})


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        (".a.b=1", ".a.b", 1),
        ('.a[.k == "x]="].b=c=d', '.a[.k == "x]="].b', "c=d"),
        ('."odd = name"=', '."odd = name"', ""),
        ("$header.x-a=b", "$header.x-a", "b"),
        ("$header.x-a=1", "$header.x-a", "1"),
        ('$query.a={"b": 1}', "$query.a", '{"b": 1}'),
    ],
)
def test_an_assignment_ends_its_path_at_the_first_sign_outside_brackets(text: str, path: str, value: Any) -> None:
    assert assignment(text) == (path, value)


def test_a_number_in_a_header_is_sent(world: World) -> None:
    said = world.run("send", "crm/changed", "--print", "--set", "$header.x-kind=1", "--set", "$query.n=[2]")
    assert "x-kind: 1" in said
    assert "?n=%5B2%5D" in said
    world.run("send", "crm/changed", "--set", "$header.x-kind=1", "--to", "http://127.0.0.1:1", code=2)


def test_headers_and_parameters_are_paths_too() -> None:
    shop, _, _ = opened("shopify", "customers-update")
    shop.write(path_of("$header.X-Shopify-Topic"), "customers/create")
    shop.write(path_of("$query.Token"), "t")
    shop.remove(path_of("$header.x-shopify-event-id"))
    assert (shop.header["x-shopify-topic"], shop.query) == ("customers/create", {"Token": "t"})
    assert "x-shopify-event-id" not in shop.header


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("true", True), ("x", "x"), ("NaN", "NaN"), ('{"a":1}', {"a": 1})]
)
def test_a_value_is_json_if_it_parses_else_text(text: str, value: Any) -> None:
    assert value_of(text) == value


# --- whose, which and when ----------------------------------------------------------------------------------------

_SNS = "{name: x, preset: aws-sns, verify: {topics: ['arn:aws:sns:r:1:t']}}"
_PUBSUB = "{name: x, preset: google-pubsub, verify: {audience: a, require_claims: {email: a@b.example}}}"


@pytest.mark.parametrize(
    ("preset", "kind", "path", "value"),
    [
        ("stripe", "customer.updated", ".id", "e-1"),
        ("shopify", "customers-update", "$header.x-shopify-webhook-id", "e-1"),
        ("stytch", "direct.user.update", ".event_id", "e-1"),
        ("okta", "user.lifecycle.create", ".uuid", "e-1"),
        ("calendly", "invitee.created", ".payload.uri", "https://api.calendly.com/scheduled_events/E/invitees/e-1"),
        ("cloudevents", "com.corp.user.updated", ".id", "e-1"),
        ("woocommerce", "customer.updated", "$header.x-wc-webhook-delivery-id", "e-1"),
        ("lemonsqueezy", "order_created", ".data.id", "e-1"),
        ("zapier", "contact_updated", ".id", "e-1"),
    ],
)
def test_an_id_is_written_where_the_identity_reads_it(preset: str, kind: str, path: str, value: str) -> None:
    found, project, _ = opened(preset, kind)
    note = put_id(found, project.sections["x"], "e-1", asked=True)
    assert found.read(path_of(path)) == value
    assert (f"stands at {path}" in note) == (preset in {"calendly", "cloudevents", "woocommerce", "lemonsqueezy"})


def test_an_id_that_is_a_number_stays_one() -> None:
    hubspot = "{name: x, preset: hubspot, secret: $env.T, url: 'https://x.example'}"
    found, project, _ = opened("hubspot", "contact.creation", hubspot)
    section = project.sections["x"]
    with pytest.raises(ConfigError, match=r"number at \.eventId: give --id digits"):
        put_id(found, section, "e-1", asked=True)
    put_id(found, section, "4711", asked=True)
    assert found.read(path_of(".eventId")) == 4711
    assert put_id(found, section, "rt_1", asked=False) == ""
    assert isinstance(found.read(path_of(".eventId")), int)
    assert found.read(path_of(".eventId")) != 4711


def test_where_a_body_is_the_id_none_can_be_given() -> None:
    found, project, _ = opened("zoom", "user.created")
    with pytest.raises(ConfigError, match="events of x have no id"):
        put_id(found, project.sections["x"], "e-1", asked=True)
    assert put_id(found, project.sections["x"], "e-1", asked=False) == ""


@pytest.mark.parametrize(
    ("preset", "kind", "moved"),
    [
        ("stripe", "customer.updated", {".created": 1772600767}),
        ("clerk", "user.updated", {".timestamp": 1772600767000, ".data.updated_at": 1772600767000}),
        ("shopify", "customers-update", {"$header.x-shopify-triggered-at": "Z", ".updated_at": "Z"}),
        ("woocommerce", "customer.updated", {".date_modified_gmt": ""}),
        ("typeform", "form_response", {".form_response.submitted_at": "Z"}),
    ],
)
def test_a_time_is_moved_in_the_form_that_it_has(preset: str, kind: str, moved: dict[str, Any]) -> None:
    found, project, _ = opened(preset, kind)
    put_time(found, project.sections["x"], AT, asked=True)
    for path, form in moved.items():
        wanted = f"2026-03-04T05:06:07.000{form}" if isinstance(form, str) else form
        assert found.read(path_of(path)) == wanted


def test_a_counter_is_not_taken_for_a_time_and_digits_are() -> None:
    project = project_of("{name: x, preset: zapier, secret: $env.T, identity: {time: .at, version: .n}}")
    both = Opened(Sample("x.y.json", {"at": "1768000000", "n": 4}, {}, {}), project.sections["x"])
    put_time(both, project.sections["x"], AT, asked=True)
    assert both.close() == {"at": "1772600767", "n": 4}


def test_where_there_is_no_time_none_can_be_moved() -> None:
    found, project, _ = opened("github", "organization-member_added")
    with pytest.raises(ConfigError, match="has no time"):
        put_time(found, project.sections["x"], AT, asked=True)
    put_time(found, project.sections["x"], AT, asked=False)


def test_a_user_is_written_where_the_rules_read_one() -> None:
    project = project_of("{name: x, preset: okta, secret: $env.T}", '.target[.type == "User"].id else skip')
    (example,) = [one for one in examples_of("okta") if one.type == "user.lifecycle.create"]
    sample = read_sample("x.y.json", example.data)
    found = Opened(sample, project.sections["x"])
    assert put_user(found, project, sample, "u9")
    assert found.read(path_of(".target[0].id")) == "u9"


def test_a_user_that_no_rule_reads_is_an_error_only_if_asked_for() -> None:
    project = project_of("{name: x, preset: stripe, secret: $env.T}", when="other")
    (example,) = [one for one in examples_of("stripe") if one.type == "customer.updated"]
    sample = read_sample("x.y.json", example.data)
    with pytest.raises(ConfigError, match="--set PATH=ID"):
        compose(project, sample, Overrides(user="u9", asked=frozenset({"user"})), AT)


def test_headers_of_the_connection_on_which_a_sample_came_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T", "a secret of enough bytes")
    project = project_of("{name: x, preset: stripe, secret: $env.T}")
    header = {"host": "h", "content-length": "5", "content-type": "text/plain", "x-own": "o", "stripe-signature": "old"}
    signed = compose(project, Sample("x.y.json", {"type": "t"}, header, {"a": "b c"}), Overrides(), AT)
    assert set(signed.headers) == {"content-type", "x-own", "stripe-signature"}
    assert signed.headers["content-type"] == "text/plain"
    assert signed.headers["stripe-signature"] != "old"
    assert signed.query == "?a=b%20c"


# --- the command to copy ------------------------------------------------------------------------------------------


def test_a_printed_command_refers_to_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T", "not-a-secret-of-anybody")
    (tmp_path / "it's").write_text("not a secret in a file\n")
    env, file = Secret("$env.T"), Secret(f"$file.{tmp_path}/it's")
    token = Signed("x", b"{}", {"x-token": "not-a-secret-of-anybody"}, "?token=not-a-secret-of-anybody&a=b")
    said = curl(token, "http://h/webhooks/x", [env])
    assert said == """curl -X POST 'http://h/webhooks/x?token='"$T"'&a=b' -H 'x-token: '"$T" --data-raw '{}'"""
    basic = Signed("x", b"{}", {"authorization": "Basic dTpub3QgYSBzZWNyZXQgaW4gYSBmaWxl"})
    assert "-u u:\"$(cat '" in curl(basic, "http://h", [file])
    monkeypatch.setenv("T", "not/a secret")
    with pytest.raises(ConfigError, match="posted, not printed"):
        curl(Signed("x", b"", {}, "?token=not%2Fa%20secret"), "http://h", [env])
