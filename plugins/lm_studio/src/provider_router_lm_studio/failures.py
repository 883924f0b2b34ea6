"""What LM Studio's texts mean. It gives most of its errors no code; each text here has a recorded body as test."""

from __future__ import annotations

import re

from provider_router.plugin import ErrorBody, Failure

# The statuses stand beside the text: 200 is a stream's error event, or an error in place of an answer.
_KNOWN: tuple[tuple[Failure, frozenset[int], re.Pattern[str]], ...] = tuple(
    (failure, statuses, re.compile("|".join(texts)))
    for failure, statuses, texts in (
        (
            Failure.CONTEXT_LENGTH,
            frozenset({200, 400}),
            (
                r"Trying to keep the first \d+ tokens when context the overflows",
                r"The number of tokens to keep from the initial prompt is greater than the context length",
                r"Cannot truncate prompt with n_keep",
                r"Reached context length of \d+ tokens",
            ),
        ),
        (
            Failure.MODEL_UNAVAILABLE,
            frozenset({200, 400, 404}),
            (r"No models loaded", r"Failed to load model ", r"Model (is )?unloaded\b"),
        ),
        (
            Failure.CAPABILITY,
            frozenset({200, 400}),
            (
                r"Model does not support images",
                r"'response_format\.type' must be 'json_schema' or 'text'",
                r"Invalid tool_choice type: 'object'",
                r"Unexpected endpoint or method",
            ),
        ),
        (Failure.SERVER, frozenset({200, 400, 500}), (r"The model has crashed",)),
    )
)


def known_failure(status: int, error: ErrorBody) -> Failure | None:
    """The class of a known text with a known status, or None."""
    for failure, statuses, text in _KNOWN:
        if status in statuses and text.match(error.message):
            return failure
    return None


def is_unknown_path(error: ErrorBody) -> bool:
    """Whether this is how LM Studio answers a path that it does not have, with status 200."""
    return error.message.startswith("Unexpected endpoint or method")
