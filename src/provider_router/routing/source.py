"""Source: where a configuration comes from, and the file beside it: requests recorded, and notes between processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve

from provider_router import home
from provider_router.routing.health import Health
from provider_router.routing.maker import Maker
from provider_router.routing.snapshot import HistorySettings, Recording

if TYPE_CHECKING:
    from provider_router.configuration.declared import Declared
    from provider_router.routing.history_writer import HistoryWriter
    from provider_router.routing.note_exchange import HealthSharing
    from provider_router.store import Configuration, Probe, Store

# Seconds until a configuration that cannot be read is tried again, if it does not change before.
_UNREADABLE_FOR: Final = 1.0


class Source:
    """A database, or the declarative file in its place; nothing is opened before the first reading.

    Args:
        database: its file; the history lies beside it.
        declared: the declarative file that takes its place.
        maker: is told where the secrets are.
        health: what is shared with other processes.
        share_health: whether it is.
        history: whether requests may be recorded.
        clock: seconds that only go forward.

    Attributes:
        sharing: the exchange of health notes, once it is open and there is one.
    """

    def __init__(
        self,
        database: Path,
        declared: Path | None,
        *,
        maker: Maker,
        health: Health,
        share_health: bool,
        history: bool,
        clock: Callable[[], float],
    ) -> None:
        self.sharing: HealthSharing | None = None
        self._database = database
        self._declared = declared
        self._maker = maker
        self._health = health
        self._share_health = share_health
        self._history = history
        self._clock = clock
        self._store: Store | Declared | None = None
        self._probe: Probe | Declared | None = None
        self._writer: HistoryWriter | None = None
        self._recorded = Recording()
        self._unreadable: tuple[int, ...] | None = None
        self._unreadable_until = 0.0

    def moved(self, held: Configuration | None) -> bool:
        """Whether it may say something else than what is held, and is to be read."""
        if held is None or self._probe is None:
            return True
        if not self._probe.moved(held):
            return False
        return self._probe.seen != self._unreadable or self._clock() >= self._unreadable_until

    def unreadable(self) -> None:
        """It could not be read as it is: that is not tried again for a moment, unless it changes."""
        if self._probe is not None:
            self._unreadable, self._unreadable_until = self._probe.seen, self._clock() + _UNREADABLE_FOR

    def read(self, held: Configuration | None) -> Configuration | None:
        """What it says now, read in a thread; None where there is no database yet. What is held is not read again.

        Raises:
            StoreError: it cannot be opened or read.
            ConfigError: the declarative file cannot be used.
        """
        from provider_router.routing.history_writer import HistoryWriter
        from provider_router.routing.note_exchange import HealthSharing
        from provider_router.store import Probe, Store, exists, open_keepers

        if self._store is None:
            if self._declared is not None:
                from provider_router.configuration.declared import Declared

                self._store = self._probe = Declared(self._declared, plugins=self._maker.types)
            elif exists(self._database):
                self._store = Store.open(self._database)
                self._probe = Probe(self._database)
            else:
                return None
            self._maker.keeper = open_keepers(self._store if isinstance(self._store, Store) else None)
            if self._share_health or self._history:
                self._writer = HistoryWriter(home.history_path(self._database), share_health=self._share_health)
                self._writer.start()
            if self._share_health and self._writer is not None:
                self.sharing = HealthSharing(self._health, self._writer.notes, self._clock)
        configuration = self._store.read(held)
        self._unreadable = None
        return configuration

    def recorder(self, settings: HistorySettings) -> HistoryWriter | None:
        """The writer of the history under these settings; None where requests are not recorded."""
        if self._writer is not None:
            self._writer.follow(settings)
        return self._writer if self._history and settings.enabled else None

    @property
    def recording(self) -> Recording:
        """How the recording of requests goes, or went until all was closed."""
        writer = self._writer
        if writer is None:
            return self._recorded
        return evolve(writer.state, enabled=self._history and writer.settings.enabled)

    def close(self) -> None:
        """Close everything. May be called twice; the next reading opens it anew."""
        if self._probe is not None:
            self._probe.close()
        if self._store is not None:
            self._store.close()
        if self._writer is not None:
            self._writer.close()
            self._recorded = self.recording
        self._probe = self._store = self._writer = self.sharing = None
