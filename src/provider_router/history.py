"""History: what was asked, who was tried, what came of it, and the sums of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from attrs import frozen

from provider_router import home
from provider_router.configuration.moments import When, moment_of
from provider_router.errors import ConfigError, DatabaseNotWritable, StoreError
from provider_router.store import History as HistoryFile
from provider_router.store import exists
from provider_router.store.requests import milliseconds, moment
from provider_router.store.rollups import HOUR, Subject, Tally
from provider_router.store.sessions import SessionRecord
from provider_router.store.trails import Filter, RequestRecord, Trail

if TYPE_CHECKING:
    from provider_router.providers.plugins import Plugins
    from provider_router.routing.plan import Plan
    from provider_router.store import Configuration

By = Literal["provider", "model", "provider-model"]

_SHARES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


@frozen(kw_only=True)
class Percentiles:
    """How long things took, in seconds, off by 2 % at most: half of them, 90 %, … took no longer."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


@frozen(kw_only=True)
class Sums:
    """The sums of one provider, one model, or everything.

    Attributes:
        provider, model: whose they are; None for all.
        requests: of everything: requests; of a provider or a model: calls to it.
        answered, failed: how these ended.
        absorbed: of everything: requests that were answered though somebody had failed before; of a provider: its
            failures that nobody noticed, since another answered.
        lost: requests that could not be recorded.
        estimated: those whose tokens are estimated, as their backend told none.
        cost: in the currency of the configured prices.
        failures: how often each failure class came.
        latency: of those that were answered.
        first_delta: of streams, until the first meaningful delta.
    """

    provider: str | None = None
    model: str | None = None
    requests: int
    answered: int
    failed: int
    absorbed: int
    lost: int
    prompt_tokens: int
    completion_tokens: int
    estimated: int
    cost: float
    failures: Mapping[str, int]
    latency: Percentiles
    first_delta: Percentiles


@frozen(kw_only=True)
class Statistics:
    """The sums of a span of whole hours."""

    since: datetime
    until: datetime
    total: Sums
    rows: tuple[Sums, ...] = ()


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
        total, rows = Tally(), dict[tuple[str | None, str | None], Tally]()
        calls = provider is not None or model is not None  # of a part there are calls, of everything requests
        rollups = self._file.rollups

        def tallies(subject: Subject) -> Iterator[Tally]:
            if provider in (None, subject.provider) and model in (None, subject.model):
                if calls:
                    yield total
                if by is not None:
                    key = (subject.provider if "provider" in by else None, subject.model if "model" in by else None)
                    yield rows.setdefault(key, Tally())

        if not calls:
            rollups.join(first, last + HOUR, lambda _: (total,), overall=True)
        if calls or by is not None:
            rollups.join(first, last + HOUR, tallies)
        found = sorted(rows.items(), key=lambda row: (-row[1].requests, row[0][0] or "", row[0][1] or ""))
        return Statistics(
            since=moment(first),
            until=end,
            total=_sums(total, provider, model),
            rows=tuple(_sums(tally, *key) for key, tally in found),
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


def _sums(tally: Tally, provider: str | None = None, model: str | None = None) -> Sums:
    return Sums(
        provider=provider,
        model=model,
        requests=tally.requests,
        answered=tally.answered,
        failed=tally.requests - tally.answered,
        absorbed=tally.absorbed,
        lost=tally.lost,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        estimated=tally.estimated,
        cost=tally.cost,
        failures=dict(sorted(tally.failures.items(), key=lambda item: (-item[1], item[0]))),
        latency=_percentiles(tally.latency.percentiles(_SHARES.values())),
        first_delta=_percentiles(tally.first_delta.percentiles(_SHARES.values())),
    )


def _percentiles(values: Iterable[float | None]) -> Percentiles:
    found: dict[str, Any] = dict(zip(_SHARES, values))
    return Percentiles(**found)
