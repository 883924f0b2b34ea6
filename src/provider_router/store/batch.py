"""Batch: requests on their way into the history, brought into its form one by one and written all at once."""

from __future__ import annotations

from collections.abc import Sequence

from provider_router.store.requests import RequestCells, RequestLine
from provider_router.store.rollups import HOUR, Subject, Tally


class Batch:
    """Requests that are written together; almost all of the work is done as they are added.

    Args:
        lines: the first of them.

    Attributes:
        lines: all of them.
        cells: the same in the form of their tables.
        tallies: the sums of their hours.
    """

    def __init__(self, lines: Sequence[RequestLine] = ()) -> None:
        self.lines: list[RequestLine] = []
        self.cells = RequestCells()
        self.tallies: dict[tuple[int, str, str], Tally] = {}
        self.add(lines)

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, lines: Sequence[RequestLine]) -> None:
        """Take some more."""
        self.lines += lines
        self.cells.add(lines)
        self._count(lines)

    def _count(self, lines: Sequence[RequestLine]) -> None:
        found = self.tallies
        hour = until = 0
        whole = Tally()
        for line in lines:
            at, attempts, failure = line.at, line.attempts, line.failure
            if not hour <= at < until:
                hour = at - at % HOUR
                until = hour + HOUR
                whole = found.setdefault(Subject(hour), Tally())
            answered = failure is None
            whole.requests += 1
            if failure is None:
                whole.answered += 1
                whole.latency.add(line.duration)
                whole.absorbed += len(attempts) > 1
            else:
                whole.fail({failure: 1})
            if line.first_delta is not None:
                whole.first_delta.add(line.first_delta)
            for attempt in attempts:
                key = hour, attempt.provider, attempt.asked
                part = found.get(key)
                if part is None:
                    part = found[Subject(*key)] = Tally()
                part.requests += 1
                if attempt.failure is None:
                    part.answered += 1
                    part.latency.add(attempt.duration)
                else:
                    part.fail({attempt.failure: 1})
                    part.absorbed += answered
                if attempt.first_delta is not None:
                    part.first_delta.add(attempt.first_delta)
                if attempt.completion_tokens is not None or attempt.prompt_tokens is not None:
                    prompt, completion = attempt.prompt_tokens or 0, attempt.completion_tokens or 0
                    cost = attempt.cost or 0.0
                    part.prompt_tokens += prompt
                    part.completion_tokens += completion
                    part.estimated += attempt.estimated
                    part.cost += cost
                    whole.prompt_tokens += prompt
                    whole.completion_tokens += completion
                    whole.estimated += attempt.estimated
                    whole.cost += cost
