"""`check`, `test`, `explain`: is the project right, and what would it do with an event."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import click

import router
from router.cli.context import (
    actor,
    event_number,
    guarded,
    has_schema,
    json_line,
    open_current_store,
    prefix_of,
    read_settings,
    schema_lack,
    stop,
)
from router.cli.masking import masked
from router.cli.previewing import Impact, impact, with_json
from router.cli.samples import find, given
from router.cli.updating import update_tests
from router.dispatch.rules import load_project
from router.errors import ConfigError, RouterError, rules_in
from router.nearest import closest, suggestion, there_are
from router.ruleset import Checked, Project, SecretUse, TestRun, check_files, load, run_tests
from router.ruleset.explain import explain as trace
from router.ruleset.loading import by_place
from router.ruleset.report import FORMATS, report
from router.ruleset.samples import Sample, SampleError, SampleEvent, open_sample
from router.ruleset.schema import json_schema
from router.settings import Settings, read_rules
from router.store import audit, events, ids
from router.store.base import Store

#: of the manual: a link, and an example of what is wrong or right
_LINK = re.compile(r"\[([^\]\n]+)\]\([^)\s]+\)")
_EXAMPLE = re.compile(r"^```yaml (wrong|right)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _directory(path: str | None) -> Path:
    return Path(path) if path else read_settings().rules


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, file_okay=False))
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--explain", "code", metavar="CODE", help="Print what the manual says of a code, check nothing.")
@click.option(
    "--preview",
    "last",
    type=click.IntRange(0),
    metavar="N",
    help="Also show which payloads would change, over the last N events of each source; 0: over the samples.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Compare with these rules (default: those that were loaded last).",
)
@guarded
def check(path: str | None, form: str, code: str | None, last: int | None, against: Path | None) -> None:
    """Check rules, settings, secrets and samples, and run the tests. Exit 1: there are errors."""
    if code is not None:
        click.echo(_section(code))
        return
    directory = _directory(path)
    files, samples = read_rules(directory)
    checked = check_files(files, samples, fault=SecretUse.fault)
    found, trouble = None, None
    if last is None and against is not None:
        stop("--against needs --preview N, the number of events; 0: the samples")
    if last is not None and not any(p.severity == "error" and not p.code.startswith("test-") for p in checked.problems):
        try:
            found = impact(read_settings(), files, samples, last, against)
            checked = replace(checked, problems=tuple(by_place([*checked.problems, *found.drift])))
        except RouterError as error:
            trouble = error
    lack = "no preview: mend the errors first" if last is not None and trouble is None else ""
    click.echo(_reported(checked, files, form, prefix_of(directory), found, asked=last is not None, lack=lack))
    if trouble is not None:
        raise trouble
    sys.exit(1 if checked.errors else 0)


def _reported(
    checked: Checked,
    files: Mapping[str, bytes],
    form: str,
    prefix: str,
    found: Impact | None,
    *,
    asked: bool,
    lack: str,
) -> str:
    """The report, with the preview if one was `asked` for; `lack` says why there is none."""
    coloured = form == "text" and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if form == "json" and asked:
        return with_json(report(checked, files, form, prefix=prefix), found)
    if found is None:
        return report(checked, files, form, prefix=prefix, colour=coloured, between=lack)
    if form == "github":
        return "\n".join(filter(None, [report(checked, files, form, prefix=prefix), *found.github(prefix)]))
    return report(checked, files, form, prefix=prefix, colour=coloured, between=found.text(), changed=found.changed)


def _section(code: str) -> str:
    """The section of the manual on a code of `check`. Another word ends the command with the codes there are."""
    manual = Path(router.__file__).parents[1] / "docs" / "rules.md"
    if not manual.is_file():
        raise ConfigError(f"the manual is not here: {manual}")
    _, _, text = manual.read_text("utf-8").partition("\n## Check codes\n")
    sections = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]}
    if code not in sections:
        stop(f"no code {code!r}; {suggestion(code, sections, listed=True)}", 2)
    return f"{_plain(sections[code].rstrip())}\n\nthe whole manual: docs/rules.md"


def _plain(markdown: str) -> str:
    """A section of the manual for a terminal: no links, and examples indented under what they are."""
    text = _LINK.sub(r"\1", markdown)
    return _EXAMPLE.sub(lambda found: f"{found[1]}:\n" + textwrap.indent(found[2].rstrip("\n"), "    "), text)


@click.command()
@click.argument("words", nargs=-1, metavar="[PATH] [RULE…]")
@click.option("--require-branches", is_flag=True, help="Exit 1 also if a rule or branch is not reached.")
@click.option("--update", is_flag=True, help="Write what came out over what failing tests expect, after a look.")
@click.option("--yes", is_flag=True, help="With --update: do not ask.")
@click.option("--json", "as_json", is_flag=True)
@guarded
def test(words: tuple[str, ...], require_branches: bool, update: bool, yes: bool, as_json: bool) -> None:
    """Run the tests in the rule files, and say what they do not reach. Exit 1: one failed; 2: the rules have errors."""
    path = words[0] if words and Path(words[0]).is_dir() else None
    select = words[1:] if path else words
    directory = _directory(path)
    files, samples, run = _run(directory, select)
    if select:
        _require_names(load(files, samples, reveal=str), select)
    if not run.results and select:
        stop(f"no tests of {', '.join(select)}", 2)
    if update:
        if as_json:
            stop("--update shows a diff: leave --json out")
        update_tests(directory, files, run, prefix=prefix_of(directory), yes=yes)
        files, samples, run = _run(directory, select)
    if as_json:
        for found in run.as_json(prefix_of(directory)):
            json_line(found)
    else:
        click.echo(run.text(prefix_of(directory)))
        if not run.results and not run.faults:
            click.echo(_first_test(samples))
    missed = require_branches and run.reached is not None and run.reached.unreached
    sys.exit(1 if run.failed or missed else 0)


def _require_names(project: Project, select: Collection[str]) -> None:
    """End with exit 2 if one of these is neither a rule nor a source."""
    rules = [rule.id for rule in project.rules]
    for word in select:
        if word not in rules and word not in project.sections:
            ending = {rule.partition("/")[2]: rule for rule in rules}
            near = closest(word, [*project.sections, *rules], like=0.6) or ending.get(closest(word, ending, like=0.6))
            hint = f"did you mean {near!r}?" if near else there_are([*project.sections, *rules])
            stop(f"no rule, source or directory {word!r}; {hint}")


def _run(directory: Path, select: Collection[str]) -> tuple[Mapping[str, bytes], Mapping[str, bytes], TestRun]:
    """The files and samples of a directory, and its tests, run."""
    files, samples = read_rules(directory)
    with rules_in(directory):
        return files, samples, run_tests(files, samples, select)


def _first_test(samples: Collection[str]) -> str:
    """How a project without tests gets one."""
    given = min(samples, default="SOURCE.ANYTHING.json")
    first = "" if samples else "record a request as samples/SOURCE.ANYTHING.json (see docs/rules.md, Tests), "
    return (
        f"no tests yet: {first}write under a rule\n"
        f"    tests:\n      - {{given: {given}, expect: {{profile: {{}}}}}}\n"
        "and run `router test --update`: it fills in what comes out"
    )


@click.command()
@click.argument("what", metavar="EVENT-ID, SOURCE/TYPE, FILE or -")
@click.option("--source", "source_name", help="Source of a file or of standard input.")
@click.option("--rules", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Other rules.")
@click.option("--reveal", metavar="REASON", help="Show values of a stored event; the reason is audited.")
@click.option("--json", "as_json", is_flag=True)
@guarded
def explain(what: str, source_name: str | None, rules: Path | None, reveal: str | None, as_json: bool) -> None:
    """Which rules match an event and why, each value's way, and the calls it would make. Sends nothing."""
    settings = read_settings()
    project = load_project(settings, rules, reveal=str)
    sample, lack = _sample(project, rules or settings.rules, what, source_name)
    if sample is None:
        store = _store(settings, what, lack)
        number = event_number(store, what)
        if number is None:
            stop(lack or f"{what} is no file, and no event has this id, ours or its sender's", 2 if lack else 1)
        with store.read() as tx:
            row = events.get(tx, number)
        if row is None:
            stop("no such event", 1)
        if reveal:
            target = ids.text(ids.EVENT, number)
            store.write(
                lambda tx: audit.record(
                    tx, store.now_us(tx), actor=actor(), action="reveal", target=target, reason=reveal
                ),
                timeout_s=10,
            )
        public = {name for name, trait in project.vocabulary.traits.items() if trait.public}
        show = None if reveal else lambda name, value: value if name in public else masked(value)
        traces = [trace(project, row.event, show=show)]
    else:
        traces = [trace(project, one.event, one.value) for one in _opened(project, sample)]
    for found in traces:
        if as_json:
            json_line(found.as_json())
        else:
            click.echo(found.text(prefix_of(rules or settings.rules)))
    sys.exit(1 if any(found.state == "failed" for found in traces) else 0)


def _sample(project: Project, directory: Path, what: str, source_name: str | None) -> tuple[Sample | None, str]:
    """The sample that is meant: a file, standard input, or one as `send` takes it. None for what may be an event's id,
    and why it is no sample, if it looks like one."""
    if what.startswith(f"{ids.EVENT}_"):
        return None, ""
    if what == "-" or Path(what).is_file():
        return given(what, source_name), ""
    try:
        return find(project, directory, what).sample, ""
    except ConfigError as error:
        is_meant = closest(what.partition("/")[0], project.sources, like=0.6)
        return None, str(error) if is_meant else ""


def _store(settings: Settings, what: str, lack: str) -> Store:
    """The store for an event's id; where there is none, what is no id of ours was meant to be something else."""
    if not what.startswith(f"{ids.EVENT}_") and not has_schema(settings):
        raise ConfigError(lack or f"{what} is no file, and {schema_lack(settings)}")
    return open_current_store(settings)


def _opened(project: Project, sample: Sample) -> list[SampleEvent]:
    """The events in a sample."""
    if sample.source not in project.sections:
        known = suggestion(sample.source, project.sections)
        raise ConfigError(f"no source {sample.source!r} (give --source, or --rules of others); {known}")
    try:
        return open_sample(sample, project.sections[sample.source])
    except SampleError as error:
        raise ConfigError(str(error)) from None


@click.command()
@click.option("--write", is_flag=True, help="Write it to .router/schema.json in the rules directory.")
@guarded
def schema(write: bool) -> None:
    """JSON Schema of the rule files, for editors."""
    settings = read_settings()
    text = json.dumps(json_schema(load_project(settings, reveal=str)), indent=1, ensure_ascii=False) + "\n"
    if not write:
        click.echo(text, nl=False)
        return
    path = settings.rules / ".router" / "schema.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    click.echo(
        f"written to {path}; begin each rule file with this line:\n# yaml-language-server: $schema=.router/schema.json"
    )
