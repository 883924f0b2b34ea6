"""RetryBudget: how many retries a process allows itself, so that a bad moment is not multiplied. Pure."""

from __future__ import annotations

from collections import deque

from provider_router import limits as numbers


class RetryBudget:
    """A share of the requests of the last ten seconds, and a few a second in any case."""

    def __init__(self) -> None:
        self._requests: deque[float] = deque()
        self._retries: deque[float] = deque()

    def request(self, now: float) -> None:
        self._requests.append(now)
        self._forget(self._requests, now)

    def take(self, now: float) -> bool:
        """Whether one more retry is allowed now; if so, it is counted."""
        self._forget(self._requests, now)
        self._forget(self._retries, now)
        allowed = (
            len(self._requests) * numbers.RETRY_BUDGET_RATIO + numbers.RETRY_BUDGET_FLOOR * numbers.RETRY_BUDGET_WINDOW
        )
        if len(self._retries) + 1 > allowed:
            return False
        self._retries.append(now)
        return True

    @staticmethod
    def _forget(times: deque[float], now: float) -> None:
        while times and times[0] <= now - numbers.RETRY_BUDGET_WINDOW:
            times.popleft()
