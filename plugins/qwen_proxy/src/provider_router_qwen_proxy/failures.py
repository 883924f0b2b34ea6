"""What the proxy's errors mean: those of its own, and what chat.qwen.ai has told it. Each has a body as test."""

from __future__ import annotations

import re

from provider_router.plugin import ErrorBody, Failure

NO_CREDENTIALS = "missing_credentials"

# 502 is the proxy's answer to whatever went wrong behind it; 200 is an error chunk of a stream.
_STATUSES = frozenset({200, 502})
_BEHIND = re.compile(r"status code (\d{3})\b")
_OF_STATUS = {401: Failure.AUTH, 403: Failure.AUTH, 429: Failure.RATE_LIMIT}
_KNOWN = (
    (Failure.AUTH, re.compile(r"Token has expired")),
    (Failure.QUOTA, re.compile(r"RateLimited\b")),
    (Failure.BUSY, re.compile(r"The chat is in progress")),
)


def known_failure(status: int, error: ErrorBody) -> Failure | None:
    """The class of a text from behind the proxy, or None."""
    if status not in _STATUSES or (error.code or error.type) not in ("qwen_api_error", "stream_error"):
        return None
    for failure, text in _KNOWN:
        if text.search(error.message):
            return failure
    behind = _BEHIND.search(error.message)
    return _OF_STATUS.get(int(behind[1])) if behind else None
