"""The table `sessions`: requests that belong together, because whoever asked said so."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from provider_router.limits import SESSION_REUSE
from provider_router.store.connection import Connection
from provider_router.store.requests import RequestLine, moment


@frozen(kw_only=True)
class SessionRecord:
    """One session.

    Attributes:
        id: its own; a name that comes back after the session's end gets another.
        name: as the caller gave it.
        requests: how many there were.
        expires_at: until when a request of this name still belongs to it.
    """

    id: str
    name: str
    requests: int
    created_at: datetime
    last_accessed: datetime
    expires_at: datetime
    first_user_message: str = ""


class Sessions:
    """Sessions, by name. The end of one ends its reuse, and removes nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, limit: int) -> tuple[SessionRecord, ...]:
        """The sessions, the one that was used last first."""
        rows = self._connection.rows("SELECT * FROM sessions ORDER BY last_accessed DESC, id LIMIT ?", (limit,))
        return tuple(
            SessionRecord(
                id=row["id"],
                name=row["chat_id"],
                requests=row["message_count"] or 0,
                created_at=moment(row["created_at"]),
                last_accessed=moment(row["last_accessed"]),
                expires_at=moment(row["expires_at"]),
                first_user_message=row["first_user_message"],
            )
            for row in rows
        )

    def reuse(self, lines: Sequence[RequestLine]) -> dict[str, str]:
        """The session of each name in these requests: one that has not ended, or a new one.

        The caller holds the transaction.
        """
        named: dict[str, list[RequestLine]] = {}
        for line in lines:
            if line.session is not None:
                named.setdefault(line.session, []).append(line)
        found = {}
        for name, belonging in named.items():
            first, last = min(line.at for line in belonging), max(line.at for line in belonging)
            row = self._connection.row(
                "SELECT id, message_count, last_accessed FROM sessions WHERE chat_id = ? AND expires_at > ? "
                "ORDER BY expires_at DESC",
                (name, first),
            )
            if row is None:
                found[name] = f"ses_{secrets.token_hex(12)}"
                self._connection.insert(
                    "sessions",
                    {
                        "id": found[name],
                        "chat_id": name,
                        "first_user_message": next((x.first_user_message for x in belonging), ""),
                        "message_count": len(belonging),
                        "created_at": first,
                        "last_accessed": last,
                        "expires_at": last + round(SESSION_REUSE * 1000),
                    },
                )
            else:
                found[name] = row["id"]
                last = max(last, row["last_accessed"])
                self._connection.update(
                    "sessions",
                    {
                        "id": row["id"],
                        "message_count": (row["message_count"] or 0) + len(belonging),
                        "last_accessed": last,
                        "expires_at": last + round(SESSION_REUSE * 1000),
                    },
                    key=["id"],
                )
        return found
