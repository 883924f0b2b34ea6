"""The tables `requests`, `responses`, `attempts`, `plans` and `bodies`: what was asked, and all that came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final, NamedTuple

from provider_router.store.connection import Cell, Connection

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AttemptLine(NamedTuple):
    """One upstream call as it is to be kept. Durations are seconds; `started` counts from the request's start."""

    provider: str
    asked: str
    model: str | None
    failure: str | None
    status: int | None
    detail: str | None
    started: float
    duration: float
    first_delta: float | None
    retry_after: float | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool = False
    cost: float | None = None


class RequestLine(NamedTuple):
    """One request as it is to be kept.

    Attributes:
        at: when it began, in milliseconds since 1970.
        session: the session's name, as the caller gave it.
        failure: the class of its failure; None if it was answered.
        plan: who was to be asked and who not, as JSON text; many requests share one.
        first_delta, duration: in seconds.
    """

    request_id: str
    at: int
    session: str | None
    first_user_message: str
    path: str
    model: str
    stream: bool
    provider: str | None
    failure: str | None
    plan: str
    seed: int
    revision: int
    prompt_floor: int
    prefix: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    estimated: bool
    cost: float | None
    finish_reason: str | None
    error: str | None
    duration: float
    first_delta: float | None
    attempts: Sequence[AttemptLine]
    request_body: str | None = None
    response_body: str | None = None


_REQUESTS: Final = (
    "id",
    "session_id",
    "request_id",
    "timestamp",
    "path",
    "model",
    "stream",
    "created_at",
    "provider",
    "failure",
    "plan_id",
    "seed",
    "revision",
    "prompt_floor",
    "prefix",
)
_RESPONSES: Final = (
    "id",
    "request_id",
    "session_id",
    "response_id",
    "timestamp",
    "completion_tokens",
    "prompt_tokens",
    "total_tokens",
    "finish_reason",
    "error",
    "duration_ms",
    "created_at",
    "estimated",
    "cost",
    "first_delta_ms",
)
_ATTEMPTS: Final = (
    "request_id",
    "number",
    "provider",
    "model",
    "failure",
    "status",
    "detail",
    "started_ms",
    "duration_ms",
    "first_delta_ms",
    "retry_after_ms",
    "prompt_tokens",
    "completion_tokens",
    "estimated",
    "cost",
)
_BODIES: Final = ("request_id", "request", "response")
_BODIES_AT_ONCE: Final = 16  # of up to half a megabyte


def moment(milliseconds: int) -> datetime:
    """Milliseconds since 1970 for people."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(at: datetime) -> int:
    """A moment as the tables keep it."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


class RequestCells:
    """Requests in the form of their tables, without what is known in the transaction only: numbers and sessions."""

    def __init__(self) -> None:
        self._plans: dict[str, int] = {}  # ids by text
        self._sessions: list[str | None] = []  # names
        self._requests: list[Cell] = []
        self._responses: list[Cell] = []
        # Attempts; those that failed apart, since in the others most of the columns have nothing but None.
        self._answered: list[Cell] = []
        self._answered_of: list[int] = []
        self._failed: list[Cell] = []
        self._failed_of: list[int] = []
        self._bodies: list[Cell] = []
        self._bodies_of: list[int] = []

    def add(self, lines: Sequence[RequestLine]) -> None:
        """Bring some more into this form."""
        requests, responses, plans = self._requests, self._responses, self._plans
        for place, line in enumerate(lines, len(self._sessions)):
            (
                request_id,
                at,
                session,
                _,
                path,
                model,
                stream,
                provider,
                failure,
                plan,
                seed,
                revision,
                prompt_floor,
                prefix,
                prompt,
                completion,
                estimated,
                cost,
                finish_reason,
                error,
                duration,
                first_delta,
                tried,
                request_body,
                response_body,
            ) = line
            self._sessions.append(session)
            requests += (
                0,
                None,
                request_id,
                at,
                path,
                model,
                1 if stream else 0,  # SQLite's door takes four times as long over a bool
                0,
                provider,
                failure,
                plans.get(plan) or self._plan(plan),
                seed,
                revision,
                prompt_floor,
                prefix,
            )
            responses += (
                0,
                0,
                None,
                "res" + request_id[3:],
                at,
                completion,
                prompt,
                None if prompt is None or completion is None else prompt + completion,
                finish_reason,
                error,
                int(duration * 1000 + 0.5),
                0,
                1 if estimated else 0,
                cost,
                None if first_delta is None else int(first_delta * 1000 + 0.5),
            )
            for number, attempt in enumerate(tried, 1):
                if attempt.failure is None:
                    self._answered += _cells(number, attempt)
                    self._answered_of.append(place)
                else:
                    self._failed += _cells(number, attempt)
                    self._failed_of.append(place)
            if request_body is not None or response_body is not None:
                self._bodies += (0, request_body, response_body)
                self._bodies_of.append(place)

    def _plan(self, text: str) -> int:
        """The id of a plan: the same wherever its text is."""
        key = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), signed=True)
        self._plans[text] = key
        return key

    def write(self, connection: Connection, sessions: Mapping[str, str], *, now: int, pause: float = 0.0) -> None:
        """Write them; the caller holds the transaction. May be done again if it is not kept.

        Args:
            connection: where to.
            sessions: the id of each session by its name.
            now: milliseconds since 1970.
            pause: seconds of sleep between two large statements.
        """
        # Of what was ever written: a number is never given twice, not even after everything was cleared.
        [(newest,)] = connection.rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'requests'")
        count = len(self._sessions)
        numbers = range(newest + 1, newest + 1 + count)
        own = [None if name is None else sessions[name] for name in self._sessions]
        _fill(_REQUESTS, self._requests, id=numbers, session_id=own, created_at=[now] * count)
        _fill(_RESPONSES, self._responses, id=numbers, request_id=numbers, session_id=own, created_at=[now] * count)
        _fill(_ATTEMPTS, self._answered, request_id=[numbers[place] for place in self._answered_of])
        _fill(_ATTEMPTS, self._failed, request_id=[numbers[place] for place in self._failed_of])
        _fill(_BODIES, self._bodies, request_id=[numbers[place] for place in self._bodies_of])
        plans: list[Cell] = [cell for text, key in self._plans.items() for cell in (key, text, now)]
        connection.insert_many("plans", ("id", "plan", "used_at"), plans, conflict=_USED_AGAIN)
        connection.insert_many("requests", _REQUESTS, self._requests, pause=pause)
        connection.insert_many("responses", _RESPONSES, self._responses, pause=pause)
        connection.insert_many("attempts", _ATTEMPTS, self._answered, pause=pause)
        connection.insert_many("attempts", _ATTEMPTS, self._failed, pause=pause)
        connection.insert_many("bodies", _BODIES, self._bodies, pause=pause, at_once=_BODIES_AT_ONCE)


def _fill(columns: Sequence[str], cells: list[Cell], **values: Sequence[Cell]) -> None:
    for column, value in values.items():
        cells[columns.index(column) :: len(columns)] = value


def _cells(number: int, attempt: AttemptLine) -> tuple[Cell, ...]:
    (
        provider,
        _,
        model,
        failure,
        status,
        detail,
        started,
        duration,
        first_delta,
        retry_after,
        prompt,
        completion,
        estimated,
        cost,
    ) = attempt
    return (
        0,
        number,
        provider,
        model,
        failure,
        status,
        detail,
        int(started * 1000 + 0.5),
        int(duration * 1000 + 0.5),
        None if first_delta is None else int(first_delta * 1000 + 0.5),
        None if retry_after is None else int(retry_after * 1000 + 0.5),
        prompt,
        completion,
        1 if estimated else 0,
        cost,
    )


_USED_AGAIN: Final = (
    "ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at "
    "WHERE used_at < excluded.used_at - 3600000"  # once an hour is often enough
)
