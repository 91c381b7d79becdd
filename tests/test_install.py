"""`make install` gives a command that works from any directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from router import __version__
from tests.test_docs import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def run(*words: str | Path, at: Path) -> str:
    """What a command prints, run in a directory, with the packages of this interpreter but not this checkout."""
    packages = str(Path(click.__file__).parents[1])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": packages}
    done = subprocess.run(words, cwd=at, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in a directory with a blank in its name, and `make`'s part of an installation in it."""
    made = tmp_path_factory.mktemp("my code") / "made"
    made.mkdir()
    shutil.copy(ROOT / "Makefile", made)
    (made / "router").symlink_to(ROOT / "router")
    run(sys.executable, "-m", "venv", "--without-pip", ".venv", at=made)
    run("make", ".venv/bin/router", at=made)
    return made.rename(made.with_name("moved"))


def test_the_command_works_from_any_directory_also_after_a_move(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "router.py").write_text("raise SystemExit('a stranger')")
    assert run(checkout / ".venv" / "bin" / "router", "--version", at=tmp_path) == f"router, version {__version__}\n"


def test_the_command_may_be_linked_to(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "router").symlink_to(checkout / ".venv" / "bin" / "router")
    assert run(tmp_path / "router", "--version", at=tmp_path) == f"router, version {__version__}\n"


def test_the_interpreter_finds_the_router_from_any_directory(checkout: Path, tmp_path: Path) -> None:
    said = run(checkout / ".venv" / "bin" / "python", "-m", "router", "--version", at=tmp_path)
    assert said == f"router, version {__version__}\n"


def test_every_installation_makes_the_command() -> None:
    for stamp in (".venv/.installed", ".venv/.installed-dev"):
        assert "> .venv/bin/router" in run("make", "-n", "-W", "Makefile", stamp, at=ROOT)
