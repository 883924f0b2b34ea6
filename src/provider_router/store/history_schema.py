"""The tables of the history's database, as numbered steps that only go forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provider_router.store.migrations import Schema

if TYPE_CHECKING:
    from sqlite_utils import Database


def m001_health_notes(db: Database) -> None:
    """What processes tell each other of their providers."""
    db.execute(
        """CREATE TABLE health_notes (
            process TEXT NOT NULL,
            scope TEXT NOT NULL,
            subject TEXT NOT NULL,
            model TEXT,
            state TEXT NOT NULL,
            reason TEXT NOT NULL,
            until INTEGER NOT NULL CONSTRAINT "until is whole milliseconds" CHECK (typeof(until) = 'integer'),
            at INTEGER NOT NULL CONSTRAINT "at is whole milliseconds" CHECK (typeof(at) = 'integer')
        )"""
    )
    db.execute("CREATE INDEX idx_health_notes_process ON health_notes(process)")
    db.execute("CREATE INDEX idx_health_notes_until ON health_notes(until)")


# The first three are the old system's, its columns first; what follows in each is ours. A session's end removes
# nothing, so a request may be without one. Every row of every request is paid for: no index that nobody asks for. A
# response has the id of its request, so that it is found without one.
_REQUESTS = (
    """CREATE TABLE sessions (
        id TEXT PRIMARY KEY NOT NULL,
        chat_id TEXT NOT NULL,
        parent_id TEXT,
        first_user_message TEXT NOT NULL DEFAULT '',
        message_count INTEGER DEFAULT 0,
        created_at INTEGER NOT NULL,
        last_accessed INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    )""",
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT REFERENCES sessions(id) ON DELETE SET NULL,
        request_id TEXT NOT NULL UNIQUE,
        timestamp INTEGER NOT NULL,
        method TEXT NOT NULL DEFAULT 'POST',
        path TEXT NOT NULL,
        openai_request TEXT NOT NULL DEFAULT '{}',
        qwen_request TEXT NOT NULL DEFAULT '{}',
        model TEXT NOT NULL,
        stream BOOLEAN NOT NULL,
        created_at INTEGER NOT NULL,
        provider TEXT,
        failure TEXT,
        plan_id INTEGER,
        seed INTEGER,
        revision INTEGER,
        prompt_floor INTEGER,
        prefix TEXT
    )""",
    """CREATE TABLE responses (
        id INTEGER PRIMARY KEY,
        request_id INTEGER NOT NULL REFERENCES requests(id) ON DELETE CASCADE,
        session_id TEXT REFERENCES sessions(id) ON DELETE SET NULL,
        response_id TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        qwen_response TEXT,
        openai_response TEXT,
        parent_id TEXT,
        completion_tokens INTEGER,
        prompt_tokens INTEGER,
        total_tokens INTEGER,
        finish_reason TEXT,
        error TEXT,
        duration_ms INTEGER,
        created_at INTEGER NOT NULL,
        estimated BOOLEAN NOT NULL DEFAULT 0,
        cost REAL,
        first_delta_ms INTEGER,
        CONSTRAINT "a response has the id of its request" CHECK (id = request_id)
    )""",
    """CREATE TABLE attempts (
        request_id INTEGER NOT NULL REFERENCES requests(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        provider TEXT NOT NULL,
        model TEXT,
        failure TEXT,
        status INTEGER,
        detail TEXT,
        started_ms INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        first_delta_ms INTEGER,
        retry_after_ms INTEGER,
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        estimated BOOLEAN NOT NULL DEFAULT 0,
        cost REAL,
        PRIMARY KEY (request_id, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE bodies (
        request_id INTEGER PRIMARY KEY REFERENCES requests(id) ON DELETE CASCADE,
        request TEXT,
        response TEXT
    )""",
    """CREATE TABLE plans (
        id INTEGER PRIMARY KEY,
        plan TEXT NOT NULL,
        used_at INTEGER NOT NULL
    )""",
    """CREATE TABLE rollups (
        hour INTEGER NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        requests INTEGER NOT NULL,
        answered INTEGER NOT NULL,
        absorbed INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        estimated INTEGER NOT NULL,
        cost REAL NOT NULL,
        failures TEXT NOT NULL,
        latency BLOB NOT NULL,
        first_delta BLOB NOT NULL,
        PRIMARY KEY (provider, model, hour)
    ) WITHOUT ROWID""",
    "CREATE INDEX idx_sessions_chat_id ON sessions(chat_id)",
    "CREATE INDEX idx_sessions_last_accessed ON sessions(last_accessed)",
    "CREATE INDEX idx_requests_timestamp ON requests(timestamp)",
    "CREATE INDEX idx_requests_session_id ON requests(session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX idx_rollups_hour ON rollups(hour)",
    "CREATE INDEX idx_attempts_failure ON attempts(failure, request_id) WHERE failure IS NOT NULL",
)


def m002_requests(db: Database) -> None:
    """What was asked, who was tried, what came of it, and the sums of each hour."""
    for statement in _REQUESTS:
        db.execute(statement)


HISTORY = Schema(
    name="provider-router-history",
    application_id=int.from_bytes(b"PRHi"),
    steps=(m001_health_notes, m002_requests),
    instead="move it away, and a new one is begun; or restore a backup: prouter db restore FILE --history",
)
