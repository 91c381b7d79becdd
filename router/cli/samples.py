"""The samples that `send` can post: those of the project first, then those that come with the router."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from router.cli.overriding import events_of
from router.errors import ConfigError
from router.ruleset import Project
from router.ruleset.samples import Sample, SampleError, read_sample
from router.sources.examples import examples_of


@dataclass(frozen=True, slots=True)
class Choice:
    """One sample that can be asked for."""

    #: `SOURCE/TYPE`
    name: str
    sample: Sample
    #: where it is
    path: Path
    #: it came with the router
    shipped: bool

    @property
    def type(self) -> str:
        """Of its first event, or the middle of the file's name if another sample is called by the type."""
        return self.name.partition("/")[2]

    @property
    def middle(self) -> str:
        """What stands in the file's name between source and `.json`."""
        return self.sample.name[len(self.sample.source) + 1 : -5]


def choices(project: Project, directory: Path, source: str | None = None) -> list[Choice]:
    """All samples of one source or of all, by name. Of two of one type that of the project counts, and of its own that
    whose file is called like the type; its others go by their files' names."""
    found: dict[str, Choice] = {}
    own = sorted(_own(project, directory), key=lambda choice: choice.middle != choice.type)
    for choice in own:
        named = replace(choice, name=f"{choice.sample.source}/{choice.middle}") if choice.name in found else choice
        found.setdefault(named.name, named)
    for choice in _shipped(project):
        found.setdefault(choice.name, choice)
    return [found[name] for name in sorted(found) if source in {None, found[name].sample.source}]


def _own(project: Project, directory: Path) -> Iterator[Choice]:
    for name, sample in project.samples.items():
        if sample.source in project.sources:
            yield Choice(_name(project, sample), sample, directory / "samples" / name, shipped=False)


def _shipped(project: Project) -> Iterator[Choice]:
    for source in project.sources:
        for example in examples_of(project.sections[source].preset_name):
            sample = read_sample(f"{source}.{example.type}.json", example.data)
            yield Choice(_name(project, sample), sample, example.path, shipped=True)


def _name(project: Project, sample: Sample) -> str:
    events = events_of(project, sample)
    kind = events[0].event.type if events else sample.name[len(sample.source) + 1 : -5]
    return f"{sample.source}/{kind}"


def find(project: Project, directory: Path, word: str) -> Choice:
    """The sample of `SOURCE/TYPE`, or of a file's name in `samples/`. Raises `ConfigError` that lists what there is."""
    if word in project.samples and project.samples[word].source in project.sources:
        sample = project.samples[word]
        return Choice(_name(project, sample), sample, directory / "samples" / word, shipped=False)
    source, _, kind = word.partition("/")
    if source not in project.sources:
        raise ConfigError(f"no source {source!r}: there are {', '.join(project.sources)}")
    known = choices(project, directory, source)
    for choice in sorted(known, key=lambda choice: choice.type != kind):
        if kind in {choice.type, choice.middle}:
            return choice
    listed = ", ".join(choice.name for choice in known) or f"none: add {directory}/samples/{source}.<type>.json"
    raise ConfigError(f"no sample of {source} for {kind!r}: there are {listed}")


def given(what: str, source: str | None) -> Choice:
    """The sample in a file, or on standard input (`-`): one as in `samples/`, or a bare body. Raises `ConfigError`."""
    path = Path(what)
    if what == "-":
        if source is None:
            raise ConfigError("standard input needs --source NAME")
        name, data = f"{source}.stdin.json", sys.stdin.buffer.read()
    else:
        name, data = (f"{source}.{path.name}" if source else path.name), path.read_bytes()
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{what} is not JSON: {error}") from None
    if not isinstance(document, dict) or "body" not in document:
        data = json.dumps({"body": document}).encode()
    try:
        sample = read_sample(name, data)
    except SampleError as error:
        raise ConfigError(str(error)) from None
    return Choice(f"{sample.source}/{what}", sample, path, shipped=False)
