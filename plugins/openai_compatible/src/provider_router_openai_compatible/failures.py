"""What known texts of well-known servers mean where they give no code. Each stands beside its status."""

from __future__ import annotations

import re

from provider_router.plugin import ErrorBody, Failure

_KNOWN: tuple[tuple[Failure, frozenset[int], re.Pattern[str]], ...] = (
    # vLLM before 0.10 and what is built on it: https://github.com/vllm-project/vllm, `error_check_ret`
    (Failure.CONTEXT_LENGTH, frozenset({200, 400}), re.compile(r"This model's maximum context length is \d+ tokens")),
    # OpenRouter routes a request with tools only to endpoints that take them.
    (Failure.CAPABILITY, frozenset({404}), re.compile(r"No endpoints found that support ")),
    (Failure.MODEL_UNAVAILABLE, frozenset({404}), re.compile(r"No endpoints found for ")),
)


def known_failure(status: int, error: ErrorBody) -> Failure | None:
    """The class of a known text with a known status, or None."""
    for failure, statuses, text in _KNOWN:
        if status in statuses and text.match(error.message):
            return failure
    return None
