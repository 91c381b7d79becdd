"""The samples that `send` can post: those of the project first, then those that come with the router."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from router.cli.overriding import events_of
from router.errors import ConfigError, MalformedError
from router.nearest import closest, suggestion, there_are
from router.ruleset import Project
from router.ruleset.samples import KEYS, Sample, SampleError, read_sample
from router.sources.examples import examples_of
from router.sources.jsontext import decode_json


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
        raise ConfigError(f"no source {source!r}; {suggestion(source, project.sources)}")
    known = choices(project, directory, source)
    for choice in sorted(known, key=lambda choice: choice.type != kind):
        if kind in {choice.type, choice.middle}:
            return choice
    near = closest(kind, [choice.type for choice in known], like=0.6)
    hint = f"did you mean {source}/{near}?" if near else there_are([choice.name for choice in known])
    add = "" if known else f": add {directory}/samples/{source}.<type>.json"
    asked = f"no sample of {source} for {kind!r}" if kind else f"say which sample of {source}"
    raise ConfigError(f"{asked}; {hint}{add}")


def _is_sample(document: Any) -> bool:
    """Whether a document is meant as a sample: it has a body, and nothing else but keys of samples and the like of them
    (`headers`), which are refused as such."""
    if not isinstance(document, dict) or "body" not in document:
        return False
    return all(key in KEYS or difflib.get_close_matches(key, KEYS, 1, 0.8) for key in document)


def given(what: str, source: str | None) -> Sample:
    """The sample in a file, or on standard input (`-`): one as in `samples/`, or a bare body. It is of `source`, or of
    the source that the file's name begins with. Raises `ConfigError`."""
    if what == "-":
        if source is None:
            raise ConfigError("standard input needs --source NAME")
        name, data = f"{source}.stdin.json", sys.stdin.buffer.read()
    else:
        path = Path(what)
        name, data = (f"{source}.{path.name}" if source else path.name), path.read_bytes()
    try:
        document = decode_json(data)
    except MalformedError as error:
        raise ConfigError(f"{what}: {str(error).replace('the body', 'it', 1)}") from None
    if not _is_sample(document):
        data = json.dumps({"body": document}).encode()
    try:
        return read_sample(name, data)
    except SampleError as error:
        raise ConfigError(str(error)) from None
