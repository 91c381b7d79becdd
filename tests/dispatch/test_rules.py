"""The rules of a process: whole or not at all, again when they change, and from the store when they are broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from router.cli.context import last_rules
from router.dispatch import rules as module
from router.dispatch.rules import RETRY_LOOKS, Rules
from router.errors import ConfigError
from router.settings import Settings, read_rules, stamp_rules
from router.store import revisions, schema
from router.store.store import Store, open_store

GOOD = """\
source:
  name: crm
  verify: {scheme: token, name: X-Token}
  secret: $env.CRM_SECRET
  identity: {id: .id, time: .at}
"""
OTHER = GOOD.replace("crm", "shop", 1)
BROKEN = "source: {name: crm, verify: {scheme: nothing}}\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRM_SECRET", "sandbox-not-a-secret-crm")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "crm.yaml").write_text(GOOD)
    return tmp_path / "rules"


@pytest.fixture
def make(directory: Path, store_url: str) -> Callable[[], Rules]:
    """The rules of a new process."""
    settings = Settings(database_url=store_url, rules=directory)
    return lambda: Rules(settings, role="web", last=lambda: last_rules(settings))


def change(directory: Path, text: str, name: str = "crm.yaml") -> None:
    """Write a file as editors do: under another name, then in its place."""
    draft = directory / ".draft"
    draft.write_text(text)
    os.replace(draft, directory / name)


def look(rules: Rules) -> bool:
    """Two looks: the first sees the change, the second that it holds still."""
    assert not rules.look()
    return rules.look()


def trail(store: Store) -> list[tuple[str, str]]:
    with store.read() as tx:
        return [(row.action, row.target) for row in tx.execute(select(schema.audit).order_by(schema.audit.c.id))]


def test_nothing_runs_before_the_start(make: Callable[[], Rules]) -> None:
    with pytest.raises(ConfigError, match="no rules"):
        _ = make().project


def test_a_change_is_taken_once_it_holds_still(make: Callable[[], Rules], directory: Path) -> None:
    rules = make()
    first = rules.start()
    assert not look(rules)
    change(directory, OTHER, "shop.yaml")
    assert not rules.look()
    change(directory, OTHER + "# more\n", "shop.yaml")
    assert not rules.look(), "it is still being written"
    assert rules.look()
    assert list(rules.sources()) == ["crm", "shop"]
    assert rules.state() == {"revision": rules.project.revision}
    assert rules.project.revision != first.revision


def test_a_change_that_was_undone_meanwhile_is_none(make: Callable[[], Rules], directory: Path) -> None:
    rules = make()
    rules.start()
    kept = (directory / "crm.yaml").stat()
    (directory / "shop.yaml").write_text(OTHER)
    assert not rules.look()
    (directory / "shop.yaml").unlink()
    assert (directory / "crm.yaml").stat().st_mtime_ns == kept.st_mtime_ns
    assert not look(rules)


def test_what_is_broken_is_refused_whole_and_told(make: Callable[[], Rules], directory: Path, store: Store) -> None:
    rules = make()
    running = rules.start().revision
    rules.record_to(store)
    change(directory, OTHER, "shop.yaml")
    change(directory, BROKEN)
    assert not look(rules)
    assert list(rules.sources()) == ["crm"]
    assert rules.warnings() == ["config_refused"]
    refused = rules.state()["refused"]
    assert rules.state() == {"revision": running, "refused": refused, "refused_for": "crm.yaml:1 verify"}
    assert not look(rules), "it is not read again until it changes"
    change(directory, GOOD)
    assert look(rules)
    assert rules.warnings() == []
    assert trail(store) == [("load rules", running), ("refuse rules", refused), ("load rules", rules.project.revision)]


def test_anybody_may_see_where_rules_are_refused_and_by_which_code_but_not_what_stands_there(
    make: Callable[[], Rules], directory: Path
) -> None:
    """`/readyz` is open to everybody. Warnings, and tests that cannot be read, refuse nothing."""
    rules = make()
    rules.start()
    destination = "destinations:\n  app: {provider: moesif, application_id: $env.CRM_SECRET, drop: [email]}\n"
    change(directory, destination, "destinations.yaml")
    tests = "    tests: [{given: crm.no.json, with: {a: 1}, expect: {}}]\n"
    change(directory, f"{GOOD}to: app\nrules:\n  a:\n{tests}    user: .a\n    set: {{nmae: .private}}\n")
    assert not look(rules)
    assert "crm.yaml:9:41: error[test-path]" in rules.refusal.splitlines()[0]
    assert rules.state()["refused_for"] == "crm.yaml:11 unknown-trait"
    change(directory, GOOD)
    assert look(rules)
    assert rules.refusal == ""


def test_the_audit_names_the_place_of_the_first_error(make: Callable[[], Rules], directory: Path, store: Store) -> None:
    rules = make()
    rules.start()
    rules.record_to(store)
    change(directory, BROKEN)
    look(rules)
    with store.read() as tx:
        reasons = [row.reason for row in tx.execute(select(schema.audit).order_by(schema.audit.c.id))]
    assert reasons[-1].startswith(f"{directory}/crm.yaml:1:38: error[verify]")


def test_a_start_with_broken_files_and_none_that_ran_fails(make: Callable[[], Rules], directory: Path) -> None:
    change(directory, BROKEN)
    with pytest.raises(ConfigError, match=r"crm\.yaml:1"):
        make().start()


def test_a_start_with_broken_files_takes_the_last_that_ran(
    make: Callable[[], Rules], directory: Path, store: Store
) -> None:
    before = make()
    before.start()
    before.record_to(store)
    change(directory, OTHER, "shop.yaml")
    assert look(before)
    change(directory, BROKEN)
    after = make()
    assert after.start().revision == before.project.revision
    assert list(after.sources()) == ["crm", "shop"]
    assert after.warnings() == ["config_refused"]
    after.record_to(store)
    assert trail(store)[-1][0] == "refuse rules"
    change(directory, GOOD + "# mended\n")
    assert look(after)
    assert after.warnings() == []


def test_a_directory_that_is_gone_is_refused_too(make: Callable[[], Rules], directory: Path, store: Store) -> None:
    rules = make()
    rules.start()
    rules.record_to(store)
    directory.rename(directory.with_name("elsewhere"))
    assert not look(rules)
    assert rules.state()["refused"] == rules.state()["refused_for"] == "unreadable"
    assert make().start().revision == rules.project.revision


def test_a_forked_process_goes_on_with_what_it_inherited_where_the_store_has_nothing(
    make: Callable[[], Rules], directory: Path
) -> None:
    rules = make()
    running = rules.start()
    change(directory, BROKEN)
    assert rules.start() is running
    assert rules.warnings() == ["config_refused"]


def test_a_secret_that_is_missing_refuses_the_rules(
    make: Callable[[], Rules], directory: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = make()
    rules.start()
    rules.record_to(store)
    change(directory, OTHER.replace("CRM_SECRET", "SHOP_SECRET"), "shop.yaml")
    assert not look(rules)
    assert "$env.SHOP_SECRET" in str(rules.refused)
    monkeypatch.delenv("CRM_SECRET")
    with pytest.raises(ConfigError, match="SHOP_SECRET"):
        make().start()


def test_what_the_store_did_not_take_is_written_down_later(
    make: Callable[[], Rules], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    rules = make()
    rules.start()
    away = open_store("sqlite:////nowhere/router.db")
    rules.record_to(away)
    assert "were not written down" in caplog.text
    away.close()
    rules.record_to(store)
    with store.read() as tx:
        kept = revisions.newest(tx)
    assert kept is not None
    assert kept.revision == rules.project.revision


def test_a_refusal_is_no_load_of_what_runs_on(make: Callable[[], Rules], directory: Path, store: Store) -> None:
    rules = make()
    rules.start()
    rules.record_to(store)
    with store.read() as tx:
        kept = revisions.newest(tx)
    change(directory, BROKEN)
    assert not look(rules)
    with store.read() as tx:
        assert revisions.newest(tx) == kept
    again = make()
    again.start()
    again.record_to(store)
    with store.read() as tx:
        later = revisions.newest(tx)
    assert kept is not None
    assert later is not None
    assert later.loaded_at > kept.loaded_at, "a process that starts loads it"


def test_a_reload_reads_at_once(make: Callable[[], Rules], directory: Path) -> None:
    rules = make()
    rules.start()
    change(directory, OTHER, "shop.yaml")
    assert rules.reload()
    assert not rules.reload()
    change(directory, BROKEN)
    assert not rules.reload()
    assert rules.refused is not None


def test_what_breaks_the_loader_itself_is_refused(
    make: Callable[[], Rules],
    directory: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = make()
    running = rules.start()
    rules.record_to(store)
    load = module.load_files

    def broken(settings: Settings, files: dict[str, bytes], *rest: object, **more: object) -> object:
        if "shop.yaml" in files:
            raise IndexError("list index out of range")
        return load(settings, files, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "load_files", broken)
    change(directory, OTHER, "shop.yaml")
    assert not look(rules)
    assert rules.project is running
    assert rules.warnings() == ["config_refused"]
    assert str(rules.refused) == "the rules broke the loader: IndexError: list index out of range"
    assert "Traceback" in caplog.text
    caplog.clear()
    assert not any(rules.look() for _ in range(2 * RETRY_LOOKS))
    assert caplog.text == "", "it is told once"
    assert not rules.reload()
    assert "Traceback" in caplog.text, "unless somebody asks again"
    assert make().start().revision == running.revision, "the last that ran are in the store"


def test_a_start_where_the_last_rules_break_the_loader_too_fails(
    make: Callable[[], Rules], directory: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make()
    before.start()
    before.record_to(store)

    def broken(*_: object, **__: object) -> object:
        raise RecursionError

    monkeypatch.setattr(module, "load_files", broken)
    with pytest.raises(ConfigError, match="broke the loader: RecursionError"):
        make().start()


def test_a_sample_that_leads_nowhere_hides_no_change(make: Callable[[], Rules], directory: Path) -> None:
    rules = make()
    rules.start()
    (directory / "samples").mkdir()
    (directory / "samples" / "crm.x.json").symlink_to("/nonexistent")
    (directory / "samples" / ".#crm.y.json").symlink_to("/nonexistent")
    assert not look(rules)
    change(directory, OTHER, "shop.yaml")
    assert look(rules)
    assert list(rules.sources()) == ["crm", "shop"]


def test_a_file_that_may_be_read_again_is_seen(make: Callable[[], Rules], directory: Path) -> None:
    rules = make()
    rules.start()
    change(directory, OTHER, "shop.yaml")
    kept = (directory / "shop.yaml").stat()
    (directory / "shop.yaml").chmod(0o200)
    if os.access(directory / "shop.yaml", os.R_OK):
        pytest.skip("this user may read everything")
    assert not look(rules)
    assert rules.refused is not None
    (directory / "shop.yaml").chmod(0o600)
    assert (directory / "shop.yaml").stat().st_mtime_ns == kept.st_mtime_ns
    assert look(rules)


def test_the_mode_of_a_file_is_part_of_its_stamp(directory: Path) -> None:
    before = stamp_rules(directory)
    (directory / "crm.yaml").chmod(0o640)
    assert stamp_rules(directory) != before


def test_refused_rules_are_tried_again_though_no_file_changes(
    make: Callable[[], Rules], directory: Path, tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    rules = make()
    rules.start()
    rules.record_to(store)
    secret = tmp_path / "secret"
    change(directory, OTHER.replace("$env.CRM_SECRET", f"$file.{secret}"), "shop.yaml")
    assert not look(rules)
    for _ in range(2 * RETRY_LOOKS):
        assert not rules.look()
    assert caplog.text.count("are refused") == 1
    assert [action for action, _ in trail(store)] == ["load rules", "refuse rules"]
    secret.write_text("sandbox-not-a-secret-shop")
    secret.chmod(0o600)
    taken = [rules.look() for _ in range(RETRY_LOOKS)]
    assert taken.count(True) == 1
    assert rules.warnings() == []
    assert not any(rules.look() for _ in range(2 * RETRY_LOOKS)), "what runs is not read again"


def test_the_same_files_can_be_refused_for_what_is_not_in_them(
    make: Callable[[], Rules], directory: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sandbox-not-a-secret-shop")
    secret.chmod(0o600)
    change(directory, GOOD.replace("$env.CRM_SECRET", f"$file.{secret}"))
    rules = make()
    running = rules.start().revision
    secret.unlink()
    assert not rules.reload()
    assert rules.state()["refused"] == f"{running} (its samples or secrets)"
    assert rules.state()["refused_for"] == "secret-unset"


@pytest.mark.parametrize(("writes", "reads"), [(1, 2), (9, 3)])
def test_files_that_change_while_they_are_read_are_read_again(
    writes: int, reads: int, make: Callable[[], Rules], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = make()
    rules.start()
    read, seen = module.read_rules, []

    def written_meanwhile(path: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
        found = read(path)
        seen.append(found)
        if len(seen) <= writes:
            change(directory, f"{OTHER}# {len(seen)}\n", "shop.yaml")
        return found

    monkeypatch.setattr(module, "read_rules", written_meanwhile)
    assert rules.reload()
    assert len(seen) == reads
    assert look(rules) == (writes > reads), "what changed after the last reading is seen later"


def test_hidden_samples_are_left_out(directory: Path) -> None:
    (directory / "samples").mkdir()
    for name in (".crm.a.json", "crm.b.json"):
        (directory / "samples" / name).write_text("{}")
    assert list(read_rules(directory)[1]) == ["crm.b.json"]


def test_a_name_that_is_no_text_is_refused(make: Callable[[], Rules], directory: Path) -> None:
    rules = make()
    rules.start()
    (directory / os.fsdecode(b"\xff.yaml")).write_text(OTHER)
    assert not look(rules)
    assert "broke the loader: UnicodeEncodeError" in str(rules.refused)
    assert rules.state()["refused"] == "unreadable"
