"""What Ollama's texts mean; it gives its errors no code. Each stands beside its status, and has a test."""

from __future__ import annotations

import re

from provider_router.plugin import Failure

# Status 200 is an error inside a stream.
_KNOWN: tuple[tuple[Failure, frozenset[int], str], ...] = (
    (Failure.MODEL_UNAVAILABLE, frozenset({404}), r"model ['\"].*['\"] not found"),
    (Failure.CAPABILITY, frozenset({400}), r".* does not support (tools|thinking|chat|embed|vision|insert)"),
    (Failure.CONTEXT_LENGTH, frozenset({200, 400, 500}), r"(the )?input( length)? exceeds (the )?(maximum )?context"),
    (Failure.BUSY, frozenset({503}), r"server busy, please try again"),
    (Failure.BUSY, frozenset({200, 500}), r"timed out waiting for llama runner to start"),
)


def known_failure(status: int, message: str) -> Failure | None:
    """The class of a known text with its status, or None."""
    for failure, statuses, text in _KNOWN:
        if status in statuses and re.match(text, message):
            return failure
    return None
