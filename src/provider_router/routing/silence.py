"""Silence: how long one attempt may stay silent, and what its silence means. Pure.

Limits bound silence and never a live attempt: a local model may take minutes over a long prompt.
"""

from __future__ import annotations

from provider_router import limits as numbers
from provider_router.errors import Busy, Failure, ProviderError, ProviderTimeout, StreamInterrupted, duration_text
from provider_router.limits import Limits
from provider_router.routing.actions import Abandon, Check
from provider_router.routing.plan import Candidate


class Silence:
    """The silence of one attempt.

    Args:
        candidate: who is asked.
        limits: the attempt's bounds, in seconds, all set.
        stream: whether it is a stream, which shows life, or a plain call, which shows none until it is done.
        share: the moment until which it must have shown life, where the caller set a total.
        now: when it was asked.

    Attributes:
        lives: whether any byte of an answer has come.
        working: whether reasoning or a tool call is open, so that longer pauses are normal.
    """

    def __init__(self, candidate: Candidate, limits: Limits, *, stream: bool, share: float | None, now: float) -> None:
        self.lives = False
        self.working = False
        self._who = candidate.provider
        self._candidate = candidate
        self._checkable = candidate.view.free_check
        self._limits = limits
        self._stream = stream
        self._share = share
        self._asked = self._life = self._quiet_since = now
        self._is_sent = False
        self._checking = False
        self._check_good = False  # the newest check of this silence was answered

    def sent(self, now: float) -> None:
        """The request is out."""
        if not self._is_sent:
            self._is_sent = True
            self._quiet_since = max(self._quiet_since, now)

    def life(self, now: float) -> None:
        """Any byte of an answer, its head included."""
        self._life = self._quiet_since = now
        self.lives = self._is_sent = True
        self._check_good = False

    def deadline(self, *, committed: bool) -> float:
        """The next moment at which silence means something."""
        due = self._limit_at(committed=committed)
        if committed:
            return due
        if self._share_counts:
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
        if self._share_counts and now >= (self._share or now):
            return Abandon(self._error(committed=False))
        if self._may_check and now >= self._check_at:
            self._checking = True
            return Check(self._candidate, numbers.CHECK_SILENCE)
        return None

    def checked(self, now: float, answered: bool | None, *, telling: bool) -> Abandon | None:  # noqa: FBT001
        """A check's outcome: answered, refused (False), or silent itself (None).

        `telling` is whether this endpoint has answered a check beside a running call before; one that does a
        single thing at a time never does, and its silent check says nothing.
        """
        self._checking = False
        self._quiet_since = now
        self._check_good = bool(answered)
        if answered or (answered is None and not telling):
            return None
        silence = duration_text(now - self._life)
        return Abandon(
            ProviderTimeout(
                f"{self._who} was silent for {silence}, and its check fails too", provider=self._who, detail="dead"
            )
        )

    @property
    def _share_counts(self) -> bool:
        return self._share is not None and not self.lives and not self._check_good

    @property
    def _may_check(self) -> bool:
        return self._checkable and not self._checking

    @property
    def _check_at(self) -> float:
        return self._quiet_since + (self._limits.check_after or 0.0)

    def _limit_at(self, *, committed: bool) -> float:
        bounds = self._limits
        if not self._stream:
            return self._asked + (bounds.connect or 0.0) + (bounds.timeout or 0.0)
        if not committed:
            return self._life + (0.0 if self._is_sent else bounds.connect or 0.0) + (bounds.first_token or 0.0)
        return self._life + (bounds.idle or 0.0) * (numbers.REASONING_IDLE_FACTOR if self.working else 1.0)

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
