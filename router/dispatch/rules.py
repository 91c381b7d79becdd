"""The rules of a running process: whole from the disk, and again when they change; where they are refused, the last
that ran."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from router.errors import ConfigError, RouterError, RuleErrors, SecretError, StoreError, rules_in
from router.ruleset import Project, load, revision_of
from router.settings import Secret, Settings, read_rules, stamp_rules
from router.sources import Source
from router.store import audit, revisions
from router.store.base import Store
from router.store.revisions import Kept

log = logging.getLogger(__name__)

#: seconds between two looks at the directory; a change counts once two looks find the same
LOOK_S = 1.0
#: looks after which refused rules are tried again: what they lacked may be there, and is no file of theirs
RETRY_LOOKS = 15
#: times that a directory is read while it is being written
_READS = 3
#: what the audit calls it
LOADED, REFUSED = "load rules", "refuse rules"


def load_project(
    settings: Settings, path: Path | None = None, *, reveal: Callable[[Secret], str] = Secret.reveal
) -> Project:
    """The rules, refused whole if anything is wrong. Raises `RuleErrors`, `ConfigError`."""
    directory = path or settings.rules
    with rules_in(directory):
        return load_files(settings, *read_rules(directory), reveal=reveal)


def load_files(
    settings: Settings,
    files: Mapping[str, bytes],
    samples: Mapping[str, bytes],
    *,
    reveal: Callable[[Secret], str] = Secret.reveal,
) -> Project:
    """The project of these files, name → bytes; with `ROUTER_SANDBOX` its calls go there. Raises `RuleErrors`."""

    def base_url(destination: str) -> str | None:
        return f"{settings.sandbox}/{destination}" if settings.sandbox else None

    return load(files, samples, reveal=reveal, base_url=base_url)


def require_secrets(project: Project) -> None:
    """Raise `SecretError` that names each secret that is not set, too short or in the wrong form."""
    missing = []
    for use in project.secrets():
        place = f"{use.node.file}:{use.node.line}:{use.node.column}: {use.owner}"
        if fault := use.fault():
            missing.append(f"{place}: {fault}")
    if not missing:
        missing = [
            f"source {name}: {text}" for name, source in project.sources.items() for text in source.secret_problems()
        ]
    if missing:
        raise SecretError("secrets cannot be used:\n  " + "\n  ".join(missing))


def _reason_of(error: ConfigError) -> str:
    """Why rules were refused, as far as anybody may know it."""
    problems = error.problems if isinstance(error, RuleErrors) else []
    for each in problems:
        if each.severity == "error" and not each.code.startswith("test-"):
            return f"{each.file}:{each.line} {each.code}"
    return "secret-unset" if isinstance(error, SecretError) else "unreadable"


class Rules:
    """Holds the project of one process. Its methods are for one thread; what they change is swapped at once."""

    def __init__(self, settings: Settings, *, role: str, last: Callable[[], Kept | None]) -> None:
        """`role` is `web` or `worker`. `last` gives the files that were loaded last, by whichever process."""
        self._settings = settings
        self._actor = f"{role} {socket.gethostname()}"
        self._last = last
        self._project: Project | None = None
        self._files: Mapping[str, bytes] = {}
        #: why what is on the disk was refused; None if it runs
        self.refused: ConfigError | None = None
        self._on_disk = ""
        self._stamp: object = None
        self._moving: object = None
        #: what was refused last, and why: it is told once
        self._said: tuple[str, str] | None = None
        #: looks since the rules were read
        self._looks = 0
        self._store: Store | None = None
        self._is_recorded = True
        #: whether the store has that the project was loaded, and when
        self._is_kept = False

    @property
    def project(self) -> Project:
        """The project that runs. Raises `ConfigError` before `start`."""
        if self._project is None:
            raise ConfigError("no rules are loaded")
        return self._project

    def sources(self) -> Mapping[str, Source]:
        """The sources of the project."""
        return self.project.sources

    def removed(self) -> frozenset[str]:
        """Names of the sources that are gone for good."""
        return self.project.removed

    @property
    def refusal(self) -> str:
        """Why what is on the disk was refused, an error a line; empty if it runs."""
        return "" if self.refused is None else self._errors(self.refused)

    def warnings(self) -> list[str]:
        """Codes for `/readyz`."""
        return ["config_refused"] if self.refused else []

    def state(self) -> dict[str, str]:
        """`revision` that runs; if there is one on the disk that does not, `refused`, and `refused_for`: file, line and
        code of its first error, or the code alone. Anybody may see it: nothing that stands in a file is in it."""
        state = {"revision": self.project.revision}
        if self.refused:
            state |= {"refused": self._refused_name(), "refused_for": _reason_of(self.refused)}
        return state

    def _refused_name(self) -> str:
        """What is on the disk: its revision, and that the same runs where only what is not in it is broken."""
        if not self._on_disk:
            return "unreadable"
        is_same = self._project is not None and self._on_disk == self._project.revision
        return f"{self._on_disk} (its samples or secrets)" if is_same else self._on_disk

    # --- loading ------------------------------------------------------------------------------------------------------

    def start(self) -> Project:
        """Take the rules on the disk; if they are refused the last that ran, else those this process was forked with.

        Raises `ConfigError`, that of the disk, if there are none.
        """
        try:
            self._take()
        except ConfigError as error:
            if not self._fall_back():
                raise
            self._refuse(error)
        return self.project

    def reload(self) -> bool:
        """Take the rules on the disk. True: another project runs now. If they are refused the old one stays."""
        self._said = None
        return self._reload()

    def _reload(self) -> bool:
        """The same; what was said of the rules is not said again."""
        before = self.project
        try:
            self._take()
        except ConfigError as error:
            self._refuse(error)
        self.record()
        return self.project.revision != before.revision

    def look(self) -> bool:
        """`reload` if the directory has changed and holds still; refused rules are also tried again every
        `RETRY_LOOKS`. To be called every `LOOK_S` seconds."""
        self.record()
        stamp = stamp_rules(self._settings.rules)
        if stamp == self._stamp:
            self._moving = None
            self._looks += 1
            return self.refused is not None and self._looks >= RETRY_LOOKS and self._reload()
        if stamp != self._moving:
            self._moving = stamp
            return False
        return self.reload()

    def _take(self) -> None:
        """Raises `ConfigError`, whatever is wrong."""
        self._on_disk, self._looks = "", 0
        with self._guarded(), rules_in(self._settings.rules):
            files, samples = self._read()
            self._on_disk = revision_of(files)
            project = self._loaded(files, samples)
        self._project, self._files, self.refused = project, files, None
        self._said, self._is_recorded, self._is_kept = None, False, False

    def _read(self) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        """The files of one moment, as far as there is one while somebody writes: what changes later is seen later."""
        for _ in range(_READS):
            self._stamp = stamp_rules(self._settings.rules)
            found = read_rules(self._settings.rules)
            if stamp_rules(self._settings.rules) == self._stamp:
                break
        return found

    def _loaded(self, files: Mapping[str, bytes], samples: Mapping[str, bytes]) -> Project:
        project = load_files(self._settings, files, samples)
        require_secrets(project)
        return project

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A mistake of ours is a `ConfigError` too: it must not end a process that has rules to run."""
        try:
            yield
        except ConfigError:
            raise
        except Exception as error:
            text = f"the rules broke the loader: {type(error).__name__}: {error}"
            if self._said is None or self._said[1] != text:
                log.exception("the rules broke the loader")
            raise ConfigError(text) from error

    def _refuse(self, error: ConfigError) -> None:
        said, self._said = self._said, (self._refused_name(), self._errors(error))
        self.refused = error
        if said != self._said:
            self._is_recorded = False
            name, errors = self._said
            log.error("the rules %s on the disk are refused, %s run: %s", name, self.project.revision, errors)

    def _errors(self, error: RouterError) -> str:
        """What was wrong, without warnings: a line each, with the path of the file."""
        problems = error.problems if isinstance(error, RuleErrors) else []
        paths = [f"{self._settings.rules}/{each}" for each in problems if each.severity == "error"]
        return "\n".join(paths) or str(error)

    def _fall_back(self) -> bool:
        """Take the last files that ran. They passed every check, samples included, so they are loaded without."""
        try:
            kept = self._last()
            if kept is not None:
                with self._guarded():
                    self._project, self._files = self._loaded(kept.files, {}), kept.files
                    self._is_kept = False
        except (ConfigError, StoreError) as error:
            log.error("the rules that ran last cannot be used: %s", self._errors(error))
        return self._project is not None

    # --- writing down -------------------------------------------------------------------------------------------------

    def record_to(self, store: Store) -> None:
        """Keep the revision that runs in this store, and note in its audit what is loaded and refused."""
        self._store = store
        self._is_recorded = self._is_kept = False
        self.record()

    def record(self) -> None:
        """Write down what is not yet. If the store is away, the next `look` tries again."""
        if self._is_recorded or self._store is None:
            return
        action, target, reason = LOADED, self.project.revision, ""
        if self.refused is not None:
            action, target, reason = REFUSED, self._refused_name(), self._errors(self.refused).partition("\n")[0][:500]
        store, project, files, actor = self._store, self.project, self._files, self._actor
        is_kept = self._is_kept

        def write(tx: Connection) -> None:
            now_us = store.now_us(tx)
            if not is_kept:
                revisions.keep(tx, project.revision, files, now_us, f"{actor}:{os.getpid()}")
            audit.record_change(tx, now_us, (LOADED, REFUSED), actor=actor, action=action, target=target, reason=reason)

        try:
            store.write(write)
        except StoreError as error:
            log.warning("the rules that run were not written down: %s", error)
        else:
            self._is_recorded = self._is_kept = True
