"""History: what was asked, who was tried, what came of it, and the sums of that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from attrs import frozen

from provider_router import home
from provider_router.configuration.moments import When, moment_of
from provider_router.errors import ConfigError, DatabaseNotWritable, StoreError
from provider_router.statistics import Statistics, Sums
from provider_router.store import History as HistoryFile
from provider_router.store import exists
from provider_router.store.requests import milliseconds, moment
from provider_router.store.rollups import HOUR, Tally
from provider_router.store.sessions import SessionRecord
from provider_router.store.trails import Filter, RequestRecord, Trail

if TYPE_CHECKING:
    from provider_router.providers.plugins import Plugins
    from provider_router.routing.plan import Plan
    from provider_router.store import Configuration

By = Literal["provider", "model", "provider-model"]


@frozen(kw_only=True)
class HistoryState:
    """How the history's file stands.

    Attributes:
        path: the file, which need not be there.
        bytes: in use.
        requests, lost: of the last 24 hours; those that were lost could not be recorded.
        trouble: why nothing can be written to it now, or "".
    """

    path: Path
    bytes: int = 0
    requests: int = 0
    lost: int = 0
    trouble: str = ""


class History:
    """What the routers on one database have recorded.

        with History() as history:
            for request in history.list(since="1h", failure="any"):
                print(request.at, request.trail)

    Args:
        database: the configuration's file, beside which the history's is; PROUTER_DB, PROUTER_HOME or the platform's
            folder unless given. It is opened at first use; if it is not there, nothing has been recorded.
    """

    def __init__(self, database: str | Path | None = None) -> None:
        self._path = home.history_path(home.database_path(database))
        self._opened: HistoryFile | None = None

    @property
    def path(self) -> Path:
        """The history's file, which need not be there yet."""
        return self._path

    def list(
        self,
        *,
        since: When = None,
        until: When = None,
        provider: str | None = None,
        model: str | None = None,
        failure: str | None = None,
        session: str | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> tuple[RequestRecord, ...]:
        """The newest requests, newest first.

        Args:
            since: those that began then or later.
            until: those that began before.
            provider: those for which it was asked.
            model: those that asked for it, or for which a provider was asked for it under this name.
            failure: those in which a failure of this class came; `any` for all failures, `ok` for what was answered.
            session: those of this session, by its name or its id.
            after: those that were written after the one with this `.number`; the oldest of them, oldest first.
            limit: at most so many.

        Raises:
            ValueError: for a moment that cannot be read.
            StoreError: the file cannot be read.
        """
        which = Filter(
            since=moment_of(since),
            until=moment_of(until),
            provider=provider,
            model=model,
            failure=failure,
            session=session,
            after=after,
        )
        return self._file.trails.list(which, limit=limit)

    def newest(self) -> int:
        """The `.number` of the request that was written last; 0 if there is none."""
        return self._file.trails.newest()

    def show(self, request_id: str) -> Trail:
        """Everything about one request: its plan, each attempt, its bodies where they are kept.

        Args:
            request_id: as answers have it; its beginning does, if no other begins so.

        Raises:
            ConfigError: there is no such request.
        """
        trail = self._file.trails.get(request_id)
        if trail is None:
            raise ConfigError(
                f"There is no request {request_id!r} in the history, or more than one that begins so: "
                "`prouter history` shows those that there are."
            )
        return trail

    def replan(self, request_id: str, configuration: Configuration, *, plugins: Plugins | None = None) -> Plan:
        """The plan that a request would have had with another configuration, all else being as it was then.

        Args:
            request_id: as for `show`.
            configuration: such as `Store.read` gives.
            plugins: the provider types; those that are installed unless given.

        Raises:
            ConfigError: there is no such request.
            UnknownModel: nobody there serves its model.
            UnknownProvider: the provider that it named is not there.
        """
        from provider_router.routing.maker import Maker
        from provider_router.routing.replay import replayed

        return replayed(self.show(request_id), Maker(plugins).snapshot_of(configuration))

    def sessions(self, *, limit: int = 50) -> tuple[SessionRecord, ...]:
        """The sessions, the one that was used last first."""
        return self._file.sessions.list(limit=limit)

    def stats(
        self,
        *,
        since: When = "24h",
        until: When = None,
        by: By | None = None,
        provider: str | None = None,
        model: str | None = None,
    ) -> Statistics:
        """Sums of whole hours: from the beginning of the one that `since` lies in.

        Args:
            since: see above.
            until: up to the end of the hour that it lies in; now, unless given.
            by: a row for each provider, model, or model at a provider, the one with most requests first.
            provider: of its calls alone.
            model: of its calls alone.

        Raises:
            ValueError: for a moment that cannot be read.
            StoreError: the file cannot be read.
        """
        end = moment_of(until) or datetime.now(UTC)
        first, last = _hour(moment_of(since) or datetime.fromtimestamp(0, UTC)), _hour(end)
        calls = provider is not None or model is not None  # of a part there are calls, of everything requests
        rollups = self._file.rollups

        def group(its_provider: str, its_model: str) -> tuple[str | None, str | None] | None:
            if provider not in (None, its_provider) or model not in (None, its_model):
                return None
            return its_provider if by and "provider" in by else None, its_model if by and "model" in by else None

        rows = rollups.parts(first, last + HOUR, group) if calls or by is not None else {}
        total = Tally() if calls else rollups.overall(first, last + HOUR)
        for tally in rows.values() if calls else ():
            total.join(tally)
        found = sorted(rows.items(), key=lambda row: (-row[1].requests, row[0][0] or "", row[0][1] or ""))
        return Statistics(
            since=moment(first),
            until=end,
            total=Sums.of(total, provider, model),
            rows=tuple(Sums.of(tally, *key) for key, tally in found) if by is not None else (),
        )

    def prune(self, older_than: When) -> int:
        """Remove the requests from before a moment, with all that belongs to them. The sums of the hours stay.

        Returns:
            How many were removed.

        Raises:
            ValueError: for a moment that cannot be read.
            StoreError: the file cannot be written now.
        """
        before = moment_of(older_than)
        if before is None:
            raise ValueError("older_than: say which requests are to go, such as 30d")
        return self._remove(milliseconds(before))

    def clear(self) -> int:
        """Remove every request and every sum.

        Returns:
            How many requests were removed.

        Raises:
            StoreError: the file cannot be written now.
        """
        removed = self._remove(milliseconds(datetime.now(UTC)) + HOUR)
        if exists(self._path):
            self._file.retention.rest()
        return removed

    def state(self) -> HistoryState:
        """How the file stands. What is wrong with it is said, and not raised."""
        try:
            total = self.stats().total
            trouble = self._file.trouble if exists(self._path) else ""
            return HistoryState(
                path=self._path,
                bytes=self._file.size if exists(self._path) else 0,
                requests=total.requests,
                lost=total.lost,
                trouble=trouble,
            )
        except StoreError as error:
            return HistoryState(path=self._path, trouble=str(error))

    def close(self) -> None:
        """Close the file. May be called twice; the next use opens it anew."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _file(self) -> HistoryFile:
        if self._opened is not None and self._opened.empty and exists(self._path):
            self.close()
        if self._opened is None:
            try:
                self._opened = HistoryFile.open(self._path, read_only=not exists(self._path))
            except DatabaseNotWritable:
                self._opened = HistoryFile.open(self._path, read_only=True)
        return self._opened

    def _remove(self, before: int) -> int:
        if not exists(self._path):
            return 0
        removed = 0
        now = milliseconds(datetime.now(UTC))
        while some := self._file.retention.step(before=before, now=now):
            removed += some
        if removed:
            try:
                self._file.shrink()
            except StoreError:  # in use by others, or no room for the copy: what comes will take the room
                pass
        return removed


def _hour(at: datetime) -> int:
    exact = milliseconds(at)
    return exact - exact % HOUR
