"""How the history stays small: the oldest requests go, in steps so small that nobody waits for one."""

from __future__ import annotations

from attrs import frozen

from provider_router.limits import PRUNE_ROWS, ROLLUP_DAYS
from provider_router.store.connection import Connection
from provider_router.store.rollups import HOUR, Rollups

_DAY = 24 * HOUR


@frozen
class Retention:
    """What is to go. Its room is used for what comes; `shrink` of the connection gives it back to the disk."""

    _connection: Connection

    def step(self, *, before: int, max_bytes: int | None = None, now: int) -> int:
        """Remove some of the oldest requests, with their answers, attempts and bodies.

        Args:
            before: those that were written before this moment, in milliseconds since 1970 …
            max_bytes: … and as many more as it takes until no more than this is in use.
            now: milliseconds since 1970, for the sums of the hours, which are kept longer.

        Returns:
            How many were removed. While it is not 0, there may be more.
        """
        connection = self._connection
        with connection.removing():
            too_much = max_bytes is not None and connection.size() > max_bytes
            last = removed = 0
            for row in connection.rows("SELECT id, created_at FROM requests ORDER BY id LIMIT ?", (PRUNE_ROWS,)):
                if not too_much and row["created_at"] >= before:
                    break
                last, removed = row["id"], removed + 1
            if removed:
                for table in ("bodies", "attempts"):
                    connection.change(f"DELETE FROM {table} WHERE request_id <= ?", (last,))  # noqa: S608 - our names
                for table in ("responses", "requests"):
                    connection.change(f"DELETE FROM {table} WHERE id <= ?", (last,))  # noqa: S608
            else:
                self._leftovers(now)
        return removed

    def rest(self) -> None:
        """Remove what is no request: sums, and sessions and plans of which no request is left."""
        with self._connection.removing():
            self._connection.change("DELETE FROM rollups")
            for table, column in (("sessions", "session_id"), ("plans", "plan_id")):
                needed = f"SELECT 1 FROM requests WHERE {column} = {table}.id"  # noqa: S608 - our names
                self._connection.change(f"DELETE FROM {table} WHERE NOT EXISTS ({needed})")  # noqa: S608

    def _leftovers(self, now: int) -> None:
        """What no request needs any more, and sums that are too old."""
        row = self._connection.row("SELECT created_at FROM requests ORDER BY id LIMIT 1")
        oldest = row["created_at"] if row else now
        self._connection.change(
            "DELETE FROM sessions WHERE last_accessed < ? AND id IN (SELECT id FROM sessions ORDER BY last_accessed "
            "LIMIT ?) AND NOT EXISTS (SELECT 1 FROM requests WHERE session_id = sessions.id)",
            (oldest - _DAY, PRUNE_ROWS),
        )
        self._connection.change("DELETE FROM plans WHERE used_at < ?", (oldest - _DAY,))
        Rollups(self._connection).prune(now - ROLLUP_DAYS * _DAY)
