"""The tables `requests`, `responses`, `attempts`, `plans` and `bodies`: what was asked, and all that came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final, NamedTuple

from provider_router.store.connection import Cell, Connection

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLANS_KNOWN: Final = 1000  # texts in memory


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


def moment(milliseconds: int) -> datetime:
    """Milliseconds since 1970 for people."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(at: datetime) -> int:
    """A moment as the tables keep it."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


class Requests:
    """Requests with their answers and attempts, in the order in which they were written."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._plans: dict[str, int] = {}  # ids by text

    def add(self, lines: Sequence[RequestLine], sessions: Mapping[str, str], *, now: int) -> None:
        """Write requests; the caller holds the transaction.

        Args:
            lines: what is to be written.
            sessions: the id of each session by its name.
            now: milliseconds since 1970.
        """
        # Of what was ever written: a number is never given twice, not even after everything was cleared.
        [(newest,)] = self._connection.rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'requests'")
        requests: list[Cell] = []
        responses: list[Cell] = []
        answered: list[Cell] = []  # attempts; apart, since in these most of the columns have nothing but None
        failed: list[Cell] = []
        bodies: list[Cell] = []
        plans: dict[int, str] = {}
        for number, line in enumerate(lines, newest + 1):
            (
                request_id,
                at,
                name,
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
            session = None if name is None else sessions[name]
            requests += (
                number,
                session,
                request_id,
                at,
                path,
                model,
                1 if stream else 0,  # SQLite's door takes four times as long over a bool
                now,
                provider,
                failure,
                self._plan(plan, plans),
                seed,
                revision,
                prompt_floor,
                prefix,
            )
            responses += (
                number,
                number,
                session,
                "res" + request_id[3:],
                at,
                completion,
                prompt,
                None if prompt is None or completion is None else prompt + completion,
                finish_reason,
                error,
                int(duration * 1000 + 0.5),
                now,
                1 if estimated else 0,
                cost,
                None if first_delta is None else int(first_delta * 1000 + 0.5),
            )
            for place, attempt in enumerate(tried, 1):
                attempts = answered if attempt.failure is None else failed
                attempts += _cells(number, place, attempt)
            if request_body is not None or response_body is not None:
                bodies += (number, request_body, response_body)
        for key, text in plans.items():
            self._connection.change(_PLAN, (key, text, now))
        insert = self._connection.insert_many
        insert("requests", _REQUESTS, requests)
        insert("responses", _RESPONSES, responses)
        insert("attempts", _ATTEMPTS, answered)
        insert("attempts", _ATTEMPTS, failed)
        insert("bodies", ("request_id", "request", "response"), bodies)

    def _plan(self, text: str, used: dict[int, str]) -> int:
        """The id of a plan: the same wherever its text is."""
        key = self._plans.get(text)
        if key is None:
            if len(self._plans) >= _PLANS_KNOWN:
                self._plans.clear()
            key = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), signed=True)
            self._plans[text] = key
        used[key] = text
        return key


def _cells(request: int, place: int, attempt: AttemptLine) -> tuple[Cell, ...]:
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
        request,
        place,
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


_PLAN: Final = (
    "INSERT INTO plans (id, plan, used_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
    "SET used_at = excluded.used_at WHERE used_at < excluded.used_at - 3600000"  # once an hour is often enough
)
