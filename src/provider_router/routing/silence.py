"""Silence: how long one attempt may stay silent, and what its silence means. Pure.

Limits bound silence and never a live attempt: a local model may take minutes over a long prompt.
"""

from __future__ import annotations

from typing import Final

from provider_router import limits as numbers
from provider_router.errors import Busy, Failure, ProviderError, ProviderTimeout, StreamInterrupted
from provider_router.limits import Limits
from provider_router.routing.actions import Abandon, Check
from provider_router.routing.candidate import Candidate
from provider_router.trail import duration_text

_COARSE: Final = 0.05  # clocks of event loops are
_LAG: Final = 1.0  # a check that comes back later than this after its time: we were not listening ourselves


class Silence:
    """The silence of one attempt.

    Args:
        candidate: who is asked.
        limits: the attempt's bounds, in seconds, all set.
        stream: whether it is a stream, which shows life, or a plain call, which shows none until it is done.
        share: the moment until which it must have shown life, where the caller set a total.
        now: when it was asked.
        check_first: whether its check is asked before the request, so that none is beside it until that is answered.

    Attributes:
        lives: whether any byte of an answer has come.
        working: whether reasoning or a tool call is open, so that longer pauses are normal.
        cut_short: whether it was given up for the caller's hurry alone, before its own limit.
    """

    def __init__(
        self,
        candidate: Candidate,
        limits: Limits,
        *,
        stream: bool,
        share: float | None,
        now: float,
        check_first: bool = False,
    ) -> None:
        self.lives = False
        self.working = False
        self.cut_short = False
        self._who = candidate.provider
        self._candidate = candidate
        self._limits = limits
        self._stream = stream
        self._share = share
        self._asked = now
        self._sent: float | None = None
        self._since = now  # when the present silence began …
        self._quiet_since = now  # … or the newest check in it was done
        self._check_begun: float | None = now if check_first else None
        self._check_good = False  # the newest check of this silence was answered

    def passed_check(self, now: float) -> None:
        """The check that came before the request was answered."""
        self._check_begun = None
        self._quiet_since = now

    def sent(self, now: float) -> None:
        """The request is out."""
        if self._sent is None:
            self._sent = self._since = self._quiet_since = now

    def life(self, now: float) -> None:
        """Any byte of an answer, its head included."""
        self.sent(now)
        self._since = self._quiet_since = now
        self.lives = True
        self._check_begun = None  # whatever it says: it lives
        self._check_good = False

    def listening(self, now: float) -> None:
        """The caller wants the next piece. The time that it took over the last one was no silence of the backend."""
        self._since = max(self._since, now)

    def deadline(self, *, committed: bool) -> float:
        """The next moment at which silence means something."""
        due = self._limit_at(committed=committed)
        if committed:
            return due
        if self._hurried:
            due = min(due, self._share or due)
        if self._may_check:
            due = min(due, self._check_at)
        return due

    def due(self, now: float, *, committed: bool) -> Check | Abandon | None:
        """What to do now, after nothing has happened until a `deadline()`."""
        if now >= self._limit_at(committed=committed):
            return Abandon(self._error(committed=committed))
        if committed:
            return None
        if self._hurried and now >= (self._share or now):
            self.cut_short = True
            silence = duration_text(now - self._asked)
            return Abandon(
                ProviderTimeout(
                    f"{self._who} did not answer within {silence}, its share of the time",
                    provider=self._who,
                    detail="silent",
                )
            )
        if self._may_check and now >= self._check_at:
            self._check_begun = now
            return Check(self._candidate, numbers.CHECK_SILENCE)
        return None

    def checked(self, now: float, answered: bool | None, *, telling: bool) -> Abandon | None:  # noqa: FBT001
        """A check's outcome: answered, refused (False), or silent itself (None).

        `telling` is whether this endpoint has answered a check beside a running call before; one that does a
        single thing at a time never does, and its silent check says nothing. Nor does one that was broken off, or
        that went unheard because this process itself stood still.
        """
        begun, self._check_begun = self._check_begun, None
        if begun is None:
            return None
        self._quiet_since = now
        if answered is None:
            heard_out = -_COARSE <= now - begun - numbers.CHECK_SILENCE <= _LAG
            if not telling or not heard_out:
                return None
        self._check_good = answered is True
        if answered:
            return None
        silence = duration_text(now - self._since)
        return Abandon(
            ProviderTimeout(
                f"{self._who} was silent for {silence}, and its check fails too", provider=self._who, detail="dead"
            )
        )

    @property
    def _hurried(self) -> bool:
        return self._share is not None and not self.lives and not self._check_good

    @property
    def _may_check(self) -> bool:
        return self._candidate.view.free_check and self._check_begun is None

    @property
    def _check_at(self) -> float:
        return self._quiet_since + (self._limits.check_after or 0.0)

    def _limit_at(self, *, committed: bool) -> float:
        bounds = self._limits
        if committed:
            return self._since + (bounds.idle or 0.0) * (numbers.REASONING_IDLE_FACTOR if self.working else 1.0)
        limit = (bounds.first_token if self._stream else bounds.timeout) or 0.0
        if self._sent is None:
            return self._asked + (bounds.connect or 0.0) + limit
        return (self._since if self._stream else self._sent) + limit

    def _error(self, *, committed: bool) -> ProviderError:
        who = self._who
        if committed:
            silence = duration_text(self._limits.idle or 0.0)
            return StreamInterrupted(
                f"{who} fell silent in the middle of its answer for {silence}",
                failure=Failure.STALLED,
                provider=who,
                detail="stalled",
            )
        silence = duration_text((self._limits.first_token if self._stream else self._limits.timeout) or 0.0)
        if self._check_good:
            return Busy(f"{who} lives, but did not answer within {silence}", provider=who, detail="busy")
        return ProviderTimeout(f"{who} did not answer within {silence}", provider=who, detail="silent")
