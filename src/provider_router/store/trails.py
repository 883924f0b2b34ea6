"""What the history tells: requests with all that was tried for them, found by time, provider, model, class, session."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve, field, frozen

from provider_router.store.connection import Cell, Connection
from provider_router.store.requests import milliseconds, moment
from provider_router.trail import duration_text


@frozen(kw_only=True)
class AttemptRecord:
    """One upstream call. `started` and `duration` are seconds, the first counted from the start of the request.

    Attributes:
        failure: its failure class; None for the one that answered.
        first_delta: seconds from its start to a stream's first meaningful delta.
        estimated: whether its tokens are estimated: the backend has not told them.
        cost: in the currency of the prices of its link; None where there are none.
    """

    provider: str
    model: str | None
    failure: str | None
    status: int | None
    detail: str
    started: float
    duration: float
    first_delta: float | None
    retry_after: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    estimated: bool
    cost: float | None

    def __str__(self) -> str:
        outcome = "ok" if self.failure is None else self.detail or self.failure
        return f"{self.provider}: {outcome}, {duration_text(self.duration)}"


@frozen(kw_only=True)
class RequestRecord:
    """One request and what came of it. Durations are seconds.

    Attributes:
        number: grows with each request that is written.
        at: when it began.
        session: the session's name, if it had one.
        model: as it was asked for; empty where the choice was the provider's.
        provider: who answered, or was asked last.
        failure: the class of its failure; None if it was answered.
        attempts: every upstream call, in order.
    """

    request_id: str
    number: int
    at: datetime
    session: str | None
    path: str
    model: str
    stream: bool
    provider: str | None
    failure: str | None
    duration: float
    first_delta: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    estimated: bool
    cost: float | None
    finish_reason: str | None
    error: str | None
    attempts: tuple[AttemptRecord, ...] = ()

    @property
    def trail(self) -> str:
        """The attempts in one line: `desk: refused, 2 ms → loft: ok, 1.3 s`."""
        return " → ".join(map(str, self.attempts))


@frozen(kw_only=True)
class Trail:
    """Everything that is known of one request.

    Attributes:
        plan: who was to be asked, who not, and what the request needed:
            `{"needs": {…}, "candidates": [{"provider": …, "model": …, "state": …, "reason": …}], "skipped": […]}`.
        seed, revision: from these, the needs and the health at that time the plan recomputes.
        request_body, response_body: JSON, masked; None where bodies are not kept.
    """

    request: RequestRecord
    plan: Mapping[str, Any]
    seed: int
    revision: int
    prompt_floor: int = 0
    prefix: str = ""
    request_body: Any = None
    response_body: Any = None


@frozen(kw_only=True)
class Filter:
    """Which requests are meant. What is None does not matter.

    Attributes:
        since, until: when they began; the end is left out.
        provider: somebody who was asked.
        model: as it was asked for, or as a provider calls it.
        failure: the class of the request's failure, or of one of its attempts; `ok` is answered, `any` any failure.
        session: the session's name, or its id.
        after: only those written after the one with this number.
    """

    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None
    model: str | None = None
    failure: str | None = None
    session: str | None = None
    after: int | None = None

    def where(self) -> tuple[str, list[Cell]]:
        """As SQL."""
        parts: list[str] = []
        values: list[Cell] = []

        def add(part: str, *those: Cell) -> None:
            parts.append(part)
            values.extend(those)

        if self.since is not None:
            add("r.timestamp >= ?", milliseconds(self.since))
        if self.until is not None:
            add("r.timestamp < ?", milliseconds(self.until))
        if self.after is not None:
            add("r.id > ?", self.after)
        if self.provider is not None:
            asked = "EXISTS (SELECT 1 FROM attempts WHERE request_id = r.id AND provider = ?)"
            add(f"(r.provider = ? OR {asked})", self.provider, self.provider)
        if self.model is not None:
            asked = "EXISTS (SELECT 1 FROM attempts WHERE request_id = r.id AND model = ?)"
            add(f"(r.model = ? OR {asked})", self.model, self.model)
        if self.failure == "ok":
            add("r.failure IS NULL")
        elif self.failure == "any":
            add("(r.failure IS NOT NULL OR r.id IN (SELECT request_id FROM attempts WHERE failure IS NOT NULL))")
        elif self.failure is not None:
            among = "r.id IN (SELECT request_id FROM attempts WHERE failure = ?)"
            add(f"(r.failure = ? OR {among})", self.failure, self.failure)
        if self.session is not None:
            add("r.session_id IN (SELECT id FROM sessions WHERE chat_id = ? OR id = ?)", self.session, self.session)
        return " AND ".join(parts) or "1", values


EVERYTHING: Final = Filter()
_SELECT: Final = (
    "SELECT r.*, p.completion_tokens, p.prompt_tokens, p.estimated, p.cost, p.finish_reason, p.error, p.duration_ms, "
    "p.first_delta_ms, s.chat_id FROM requests AS r LEFT JOIN responses AS p ON p.id = r.id "
    "LEFT JOIN sessions AS s ON s.id = r.session_id"
)


@frozen
class Trails:
    """Requests, newest first."""

    _connection: Connection = field(repr=False)

    def list(self, which: Filter = EVERYTHING, *, limit: int) -> tuple[RequestRecord, ...]:
        """The newest of those that are meant, newest first; with `after` set the oldest of them, oldest first.

        Raises:
            StoreError: the file cannot be read.
        """
        where, values = which.where()
        order = "r.timestamp DESC, r.id DESC" if which.after is None else "r.id"
        with self._connection.reading():
            rows = self._connection.rows(f"{_SELECT} WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit))
            return self._with_attempts([_request(row) for row in rows])

    def newest(self) -> int:
        """The number of the request that was written last, 0 if there is none."""
        return int(self._connection.rows("SELECT coalesce(max(id), 0) FROM requests")[0][0])

    def get(self, request_id: str) -> Trail | None:
        """Everything about one request, or None if it is not there. The beginning of its id does, if it is the only."""
        with self._connection.reading():
            rows = self._connection.rows(f"{_SELECT} WHERE r.request_id = ?", (request_id,))
            if not rows and len(request_id) >= _LEAST_LETTERS:
                beyond = request_id[:-1] + chr(ord(request_id[-1]) + 1)
                rows = self._connection.rows(
                    f"{_SELECT} WHERE r.request_id > ? AND r.request_id < ? LIMIT 2", (request_id, beyond)
                )
            if len(rows) != 1:
                return None
            [row] = rows
            [request] = self._with_attempts([_request(row)])
            plan = self._connection.row("SELECT plan FROM plans WHERE id = ?", (row["plan_id"],))
            bodies = self._connection.row("SELECT request, response FROM bodies WHERE request_id = ?", (row["id"],))
        return Trail(
            request=request,
            plan=json.loads(plan["plan"]) if plan else {},
            seed=row["seed"] or 0,
            revision=row["revision"] or 0,
            prompt_floor=row["prompt_floor"] or 0,
            prefix=row["prefix"] or "",
            request_body=_json(bodies["request"] if bodies else row["openai_request"]),
            response_body=_json(bodies["response"] if bodies else None),
        )

    def _with_attempts(self, requests: Sequence[RequestRecord]) -> tuple[RequestRecord, ...]:
        found: dict[int, list[AttemptRecord]] = {request.number: [] for request in requests}
        numbers = list(found)
        for at in range(0, len(numbers), _AT_ONCE):
            some = numbers[at : at + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            sql = f"SELECT * FROM attempts WHERE request_id IN ({marks}) ORDER BY request_id, number"  # noqa: S608
            for row in self._connection.rows(sql, some):
                found[row["request_id"]].append(_attempt(row))
        return tuple(evolve(request, attempts=tuple(found[request.number])) for request in requests)


_AT_ONCE: Final = 500  # SQLite takes 999 values at least
_LEAST_LETTERS: Final = 8


def _request(row: sqlite3.Row) -> RequestRecord:
    return RequestRecord(
        request_id=row["request_id"],
        number=row["id"],
        at=moment(row["timestamp"]),
        session=row["chat_id"],
        path=row["path"],
        model=row["model"],
        stream=bool(row["stream"]),
        provider=row["provider"],
        failure=row["failure"],
        duration=(row["duration_ms"] or 0) / 1000,
        first_delta=_seconds(row["first_delta_ms"]),
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        estimated=bool(row["estimated"]),
        cost=row["cost"],
        finish_reason=row["finish_reason"],
        error=row["error"],
    )


def _attempt(row: sqlite3.Row) -> AttemptRecord:
    return AttemptRecord(
        provider=row["provider"],
        model=row["model"],
        failure=row["failure"],
        status=row["status"],
        detail=row["detail"] or "",
        started=row["started_ms"] / 1000,
        duration=row["duration_ms"] / 1000,
        first_delta=_seconds(row["first_delta_ms"]),
        retry_after=_seconds(row["retry_after_ms"]),
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        estimated=bool(row["estimated"]),
        cost=row["cost"],
    )


def _seconds(whole: int | None) -> float | None:
    return None if whole is None else whole / 1000


def _json(text: str | None) -> Any:
    if text in (None, "{}"):
        return None
    try:
        return json.loads(text or "")
    except ValueError:  # of another program
        return text
