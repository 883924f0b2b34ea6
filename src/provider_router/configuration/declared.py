"""Declared: the configuration of a declarative file, read anew when the file changes. What a database is elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from attrs import evolve

from provider_router.configuration.intake import Intake
from provider_router.configuration.times import with_times_of
from provider_router.configuration.transfer import parse_document
from provider_router.errors import ConfigError, InvalidConfig
from provider_router.providers.plugins import Plugins
from provider_router.store import Configuration, Store, configuration_of, records_of

Stamp: TypeAlias = tuple[int, ...]

# A file system's clock is coarse: what was written so short a time before it was read may be written once more without
# another time showing. Such a file is looked into and not only at, in nanoseconds.
_FRESH = 2_000_000_000

_NOTHING = configuration_of((), revision=0)


class Declared:
    """A file such as `PROUTER_CONFIG=providers.toml`, and what it says. Nothing is written anywhere.

    Threads may share one.

    Args:
        path: the file; JSON if its name ends so, else TOML.
        plugins: finds the installed types when they are needed.
    """

    def __init__(self, path: Path, *, plugins: Callable[[], Plugins]) -> None:
        self.path = path
        self._plugins = plugins
        self._lock = threading.Lock()
        self._good: Configuration | None = None
        self._seen: Stamp | None = None
        self._content = b""
        self._fresh = False

    def moved(self, held: Configuration) -> bool:
        """Whether the file is not the one that was read last; a broken one is read once, until it changes again."""
        stamp = self._stamp()
        if stamp != self._seen:
            return True
        if self._fresh and stamp is not None:
            self._fresh = _is_fresh(stamp)
            try:
                return self.path.read_bytes() != self._content
            except OSError:
                return True
        return self._good is not None and held.revision != self._good.revision

    def read(self, since: Configuration | None = None) -> Configuration:
        """What the file says; what is as it was in `since` is shared with it.

        Raises:
            ConfigError: the file cannot be read.
            InvalidConfig: with every problem, each with its table, its key and what would do.
        """
        with self._lock:
            self._seen = self._stamp()
            self._fresh = self._seen is not None and _is_fresh(self._seen)
            try:
                self._content = self.path.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"The configuration {self.path} cannot be read: {error.strerror}. "
                    "Correct PROUTER_CONFIG, or let this user read the file."
                ) from error
            document = parse_document(self._content, str(self.path), toml=self.path.suffix.lower() != ".json")
            joined = Intake(document, _NOTHING, self._plugins(), trusted=True)
            if joined.problems:
                raise InvalidConfig(f"The configuration {self.path} cannot be used:", joined.problems)
            before = self._good or _NOTHING
            target = joined.target(lambda value, *, owner: value)
            self._good = with_times_of(records_of(before), records_of(target).values(), revision=before.revision + 1)
            known = since is not None and since.revision == before.revision
            return evolve(self._good, renewed=_renewed(before, self._good) if known else None)

    @property
    def seen(self) -> Stamp:
        """What was there when it was read last; nothing if the file was not."""
        return self._seen or ()

    def close(self) -> None:
        """Nothing is held open."""

    def _stamp(self) -> Stamp | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns


def _is_fresh(stamp: Stamp) -> bool:
    return abs(time.time_ns() - stamp[0]) < _FRESH


def _renewed(before: Configuration, now: Configuration) -> frozenset[str]:
    """Ids of the providers of which something is not as it was, or that are gone."""
    return frozenset(
        each
        for each in {**before.providers, **now.providers}
        if before.providers.get(each) != now.providers.get(each)
        or before.options.get(each) != now.options.get(each)
        or before.links.get(each) != now.links.get(each)
    )


class DeclaredStore:
    """What a declarative file says, to be read like a database; made anew when the file has changed."""

    def __init__(self, path: Path, plugins: Callable[[], Plugins]) -> None:
        self._declared = Declared(path, plugins=plugins)
        self._held: Configuration | None = None
        self._store: Store | None = None
        self._former: Store | None = None  # another thread may be reading it still
        self._reading = threading.Lock()

    def store(self) -> Store:
        """The file as it is now.

        Raises:
            ConfigError: it cannot be used.
        """
        with self._reading:
            if self._held is None or self._store is None or self._declared.moved(self._held):
                self._held = self._declared.read()
                if self._former is not None:
                    self._former.close()
                self._former = self._store
                self._store = Store.of(self._held, self._declared.path)
            return self._store

    def close(self) -> None:
        """Close what was made of it."""
        with self._reading:
            for store in (self._store, self._former):
                if store is not None:
                    store.close()
            self._store = self._former = None
