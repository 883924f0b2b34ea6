"""What may be said of a link: its limits, its capabilities, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from provider_router.configuration.durations import kept_duration
from provider_router.configuration.models import capability_problems
from provider_router.configuration.names import model_id_problems, near_miss
from provider_router.errors import InvalidConfig
from provider_router.limits import ROUTING
from provider_router.providers.config import outside_name
from provider_router.store import Json, LinkRecord

LIMITS: Final = ("timeout", "connectTimeout", "firstTokenTimeout", "idleTimeout", "checkAfter", "maxAnswerBytes")
"""The routing options that a link can have of its own."""

_ITS_OWN: Final = ("model", "messages", "stream")  # of a request's fields, those that no link may set


def checked_limits(limits: Mapping[str, object]) -> dict[str, Json]:
    """Limits under their names outside Python, as they are kept; None stays None.

    Raises:
        InvalidConfig: with every problem at once.
    """
    kept: dict[str, Json] = {}
    problems = []
    for key, value in limits.items():
        name = outside_name(key)
        if name not in LIMITS:
            problems.append(f"limits: {key!r} is none; {near_miss(key, LIMITS)}")
            continue
        try:
            parsed = None if value is None else ROUTING[name].parse(value)
        except ValueError as error:
            problems.append(f"{name}: {error}")
        else:
            kept[name] = kept_duration(parsed) if ROUTING[name].duration and parsed is not None else parsed
    if problems:
        raise InvalidConfig("The link cannot be like this:", problems)
    return kept


def signed(words: Iterable[str]) -> tuple[str, ...]:
    """`tools` is `+tools`; each word once."""
    words = (words,) if isinstance(words, str) else words
    return tuple(dict.fromkeys(word if str(word)[:1] in ("+", "-") else f"+{word}" for word in words))


def link_problems(link: LinkRecord) -> Iterator[str]:
    """What is wrong with a link by itself."""
    default: object = link.default
    if not isinstance(default, bool):
        yield f"default: {default!r} is neither true nor false"
    if link.remote_name is not None:
        yield from model_id_problems(link.remote_name, field="remote_name")
    if link.weight is not None and not (_is_number(link.weight) and link.weight > 0):
        yield f"weight: {link.weight!r} has to be a number above 0"
    counts: tuple[tuple[str, object], ...] = (
        ("context_length", link.context_length),
        ("max_parallel", link.max_parallel),
    )
    for field, count in counts:
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            yield f"{field}: {count!r} has to be a whole number of 1 or more"
    for field, price in (("input_price", link.input_price), ("output_price", link.output_price)):
        if price is not None and not (_is_number(price) and price >= 0):
            yield f"{field}: {price!r} has to be a number of 0 or more"
    yield from capability_problems(link.capabilities, signs="+-")
    for word in link.capabilities:
        if word.startswith("+") and f"-{word[1:]}" in link.capabilities:
            yield f"capabilities: {word[1:]} is both added and taken away"
    for name in link.parameters:
        if name in _ITS_OWN:
            yield f"parameters: {name!r} is the request's own; a link cannot set it"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
