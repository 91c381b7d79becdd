"""The rules of a running process: loaded before it serves, and kept when a newer version is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from router.errors import ConfigError
from router.ruleset import Project
from router.sources import Source

log = logging.getLogger(__name__)


class Rules:
    """Holds the project. `load` makes one of what is on the disk now, or raises `ConfigError`."""

    def __init__(self, load: Callable[[], Project]) -> None:
        self._load = load
        self._project: Project | None = None
        #: why what is on the disk was refused; empty if it runs
        self.refused = ""

    def project(self) -> Project:
        """The project; loaded if none is. Raises `ConfigError`."""
        project = self._project
        if project is None:
            project = self._project = self._load()
        return project

    def sources(self) -> Mapping[str, Source]:
        """The sources of the project."""
        return self.project().sources

    def reload(self) -> bool:
        """Load again. If that is refused the old project stays, and `refused` says why."""
        try:
            self._project = self._load()
        except ConfigError as error:
            self.refused = str(error)
            log.error("the rules were refused, the old ones stay: %s", error)  # the trace says nothing
            return False
        self.refused = ""
        return True

    def warnings(self) -> list[str]:
        """Codes for `/readyz`."""
        return ["config_refused"] if self.refused else []
