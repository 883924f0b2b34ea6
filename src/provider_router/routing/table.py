"""The table: what each failure class means for retry, fallback and health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from provider_router.errors import Failure
from provider_router.providers.zones import OUT_OF_ZONE
from provider_router.routing.effect import Effect

DOUBTFUL: Final = "doubtful_answer"
"""The code of the error that a guard makes of an answer."""

OF_ONE_REQUEST: Final = frozenset({OUT_OF_ZONE, DOUBTFUL})
"""Codes of errors of the class capability that do not tell what a candidate is capable of."""


@frozen
class Row:
    """What a failure class means: how often the same provider is asked again, whether the next one is, its effect.

    Attributes:
        again: retries of the same provider; `again_alone` where the plan has no other candidate.
        next: whether the next candidate is asked.
        effect: what it does to health.
        callers_fault: whether it is what the caller should hear of before any later failure.
    """

    again: int
    next: bool
    effect: Effect
    callers_fault: bool = False
    again_alone: int = 0


TABLE: Final[Mapping[Failure, Row]] = {
    Failure.CONNECT: Row(0, True, Effect.ENDPOINT_DOWN),
    Failure.RESET: Row(1, True, Effect.ENDPOINT_FAULT, again_alone=2),
    Failure.TIMEOUT: Row(0, True, Effect.ENDPOINT_FAULT),
    Failure.BUSY: Row(0, True, Effect.BUSY),
    Failure.SERVER: Row(1, True, Effect.MODEL_FAULT, again_alone=2),
    Failure.RATE_LIMIT: Row(1, True, Effect.THROTTLE, again_alone=1),
    Failure.QUOTA: Row(0, True, Effect.QUOTA),
    Failure.AUTH: Row(0, True, Effect.AUTH),
    Failure.MODEL_UNAVAILABLE: Row(0, True, Effect.MODEL_MISSING),
    Failure.CAPABILITY: Row(0, True, Effect.NONE, callers_fault=True),
    Failure.CONTEXT_LENGTH: Row(0, True, Effect.NONE, callers_fault=True),
    Failure.CONTENT_POLICY: Row(0, False, Effect.NONE, callers_fault=True),
    Failure.BAD_REQUEST: Row(0, False, Effect.NONE, callers_fault=True),
    Failure.MALFORMED: Row(1, True, Effect.MODEL_FAULT, again_alone=2),
    Failure.TRUNCATED: Row(0, False, Effect.MODEL_FAULT),
    Failure.STALLED: Row(0, False, Effect.MODEL_FAULT),
    Failure.CANCELLED: Row(0, False, Effect.NONE),
    Failure.CRASHED: Row(0, True, Effect.CRASH),
}
