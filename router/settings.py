"""The environment and the rules directory: the only reader of both. Secrets are resolved here, when used."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from router.errors import ConfigError, SecretError

_N = TypeVar("_N", int, float)

#: the store where `DATABASE_URL` is not set
DEFAULT_URL = "sqlite:///router.db"
#: values that people leave in place of a secret
_PLACEHOLDERS = frozenset({"changeme", "change-me", "secret", "password", "todo", "xxx", "your-secret-here"})


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret (`$env.NAME` or `$file.PATH`). `repr` and `str` give that, never the value."""

    reference: str

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __str__(self) -> str:
        return self.reference

    def reveal(self) -> str:
        """The value, read now. Raises `SecretError` that names the variable or file, never the value."""
        kind, _, name = self.reference.partition(".")
        value = _from_environment(name) if kind == "$env" else _from_file(name)
        if not value.strip():
            raise SecretError(f"{self.reference} is not set, or blank")
        if value.strip().lower() in _PLACEHOLDERS:
            raise SecretError(f"{self.reference} holds a placeholder, not a secret")
        return value

    def is_set(self) -> bool:
        """Whether `reveal` would give a value."""
        try:
            self.reveal()
        except SecretError:
            return False
        return True


def _from_environment(name: str) -> str:
    return os.environ.get(name, "")


def _from_file(name: str) -> str:
    path = Path(name)
    try:
        mode = path.stat().st_mode
        if mode & stat.S_IWOTH:
            raise SecretError(f"$file.{name} can be written by others: chmod o-w {name}")
        text = path.read_text("utf-8")
    except OSError as error:
        raise SecretError(f"$file.{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretError(f"$file.{name} is not UTF-8 text") from error
    return text.removesuffix("\n").removesuffix("\r")


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, read once at start. Names of variables are in `docs/settings.md`."""

    #: SQLAlchemy URL of the store
    database_url: str = DEFAULT_URL
    #: directory of the rule files
    rules: Path = Path("rules")
    #: keys hashes and sessions; empty: an embedded store keeps one beside the database
    key: str = ""
    #: port of the web server
    port: int = 8000
    #: public URL, without a slash at the end
    url: str = "http://127.0.0.1:8000"
    #: development: other time scales, private destinations
    dev: bool = False
    #: factor for lease, deadlines, waits, debounce and polling; other than 1 only with `dev`
    time_scale: float = 1.0
    #: `http://127.0.0.1:8100` sends every destination to the sandbox there; empty: off
    sandbox: str = ""
    #: direct URL for LISTEN where `database_url` goes through a pooler; empty: the same
    listen_url: str = ""
    #: addresses or networks whose X-Forwarded-For is believed
    trusted_proxies: tuple[str, ...] = ()
    #: web processes of this host, and threads of each
    web_processes: int = 1
    web_threads: int = 24


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from `environ` (default: the process's). Raises `ConfigError` that names the variable."""
    env = os.environ if environ is None else environ
    dev = _flag(env, "ROUTER_DEV")
    port = _number(env, "PORT", 8000, int)
    scale = _number(env, "ROUTER_TIME_SCALE", 1.0, float)
    if not 0.001 <= scale <= 100:
        raise ConfigError(f"ROUTER_TIME_SCALE is {scale:g}: give a factor between 0.001 and 100")
    if scale != 1 and not dev:
        raise ConfigError("ROUTER_TIME_SCALE other than 1 is for development: start with --dev or set ROUTER_DEV=1")
    sandbox = env.get("ROUTER_SANDBOX", "").rstrip("/")
    if sandbox and (urlsplit(sandbox).scheme != "http" or not _is_loopback(urlsplit(sandbox).hostname)):
        raise ConfigError(f"ROUTER_SANDBOX is {sandbox}: the sandbox is on this machine, as in http://127.0.0.1:8100")
    return Settings(
        database_url=_database_url(env.get("DATABASE_URL", "").strip() or DEFAULT_URL),
        rules=Path(env.get("ROUTER_RULES", "").strip() or "rules"),
        key=env.get("ROUTER_KEY", ""),
        port=port,
        url=env.get("ROUTER_URL", "").rstrip("/") or f"http://127.0.0.1:{port}",
        dev=dev,
        time_scale=scale,
        sandbox=sandbox,
        listen_url=env.get("ROUTER_LISTEN_URL", ""),
        web_processes=_number(env, "WEB_CONCURRENCY", 1, int),
        web_threads=_number(env, "WEB_THREADS", 24, int),
        trusted_proxies=tuple(
            part.strip() for part in env.get("ROUTER_TRUSTED_PROXIES", "").split(",") if part.strip()
        ),
    )


def _database_url(url: str) -> str:
    """SQLAlchemy's spelling: platforms hand out `postgres://`, and the driver is psycopg 3."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url[len(prefix) :]
    if not url.startswith(("sqlite:", "postgresql+psycopg:")):
        raise ConfigError("DATABASE_URL starts with sqlite:/// or postgresql://")
    return url


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").strip().lower()
    if value in {"", "0", "false", "no"}:
        return False
    if value in {"1", "true", "yes"}:
        return True
    raise ConfigError(f"{name} is {value!r}: give 1 or 0")


def _number(env: Mapping[str, str], name: str, default: _N, kind: type[_N]) -> _N:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{name} is {text!r}: give a number") from None


def _is_loopback(host: str | None) -> bool:
    return host in {"127.0.0.1", "localhost", "::1"}


def read_rules(path: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of a rules directory as `(rules, samples)`, name → bytes, in name order.

    Names are relative (`stripe.yaml`; `stripe.customer.updated.json` for samples). Hidden files and `.router/` are
    left out. Raises `ConfigError` if the directory cannot be read.
    """
    try:
        if not path.is_dir():
            raise ConfigError(f"no rules directory at {path}: set ROUTER_RULES, or start in the project")
        rules, samples = ({p.name: p.read_bytes() for p in paths if p.is_file()} for paths in _paths(path))
    except OSError as error:
        raise ConfigError(f"the rules in {path} cannot be read: {error}") from error
    if not rules:
        raise ConfigError(f"no rule files in {path}: set ROUTER_RULES, or start in the project")
    return rules, samples


def stamp_rules(path: Path) -> tuple[tuple[str, tuple[int, ...] | None], ...]:
    """What differs after a change of what `read_rules` reads: each file with its inode, size, mode and times, None if
    it cannot be looked at. Reads none. Empty if the directory cannot be read.
    """
    try:
        return tuple((str(each), _stamp(each)) for paths in _paths(path) for each in paths)
    except OSError:
        return ()


def _paths(path: Path) -> tuple[list[Path], list[Path]]:
    """What is called like a rule file, and like a sample, by name. Raises `OSError`."""
    rules = [each for each in path.iterdir() if each.suffix in {".yaml", ".yml"}]
    found = (rules, (path / "samples").glob("*.json"))
    files, samples = (sorted(p for p in paths if not p.name.startswith(".")) for paths in found)
    return files, samples


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mode, found.st_mtime_ns, found.st_ctime_ns
