"""Every number of the Router's contract, once, and the options that change them.

Durations are seconds here. Where people write them (store, REST, `config={…}`, environment) they are integer
milliseconds or text with a unit; `parse_duration` translates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve, fields, frozen

from provider_router.errors import Failure

# Routing (the numbers that are no option)

CONNECT_NEAR: Final = 3.0  # seconds to connect on loopback and private networks
CONNECT_FAR: Final = 5.0  # … elsewhere
FIRST_TOKEN_LOCAL: Final = 300.0  # types that may load a model or prefill a long prompt
CHECK_SILENCE: Final = 3.0  # a check that is silent for this long, at an endpoint that has answered one, says dead
REASONING_IDLE_FACTOR: Final = 3.0  # idle limit while reasoning or a tool call is open

PREAMBLE_EVENTS: Final = 64  # empty events held back before commit
PREAMBLE_BYTES: Final = 256 * 1024

RETRY_WAIT: Final = (0.25, 0.5)  # first backoff, evenly spread; doubles
RETRY_WAIT_MAX: Final = 4.0
RATE_LIMIT_WAIT: Final = (0.5, 1.0)  # 429 without Retry-After and nobody else free
PATIENCE: Final = 3.0  # a Retry-After or a throttle that ends within this is waited for
RETRY_BUDGET_RATIO: Final = 0.2  # retries against requests of the last window
RETRY_BUDGET_WINDOW: Final = 10.0
RETRY_BUDGET_FLOOR: Final = 3.0  # and so many retries a second are always free

OPENING: Final = 5.0  # first opening of a breaker; doubles with each failed trial
OPENING_MAX: Final = 15.0
OPENING_SPREAD: Final = 0.2
TIMEOUTS_IN_A_ROW: Final = 2  # endpoint
SERVER_FAULTS_IN_A_ROW: Final = 3  # (endpoint, model)
FAULT_WINDOW: Final = 60.0
FAULT_WINDOW_LEAST: Final = 10  # attempts in the window before its ratio counts
FAULT_WINDOW_RATIO: Final = 0.5
ASK_UNWELL_AT_MOST: Final = 2  # open or flagged candidates asked in one request

THROTTLE_LEAST: Final = 1.0
THROTTLE_FIRST: Final = 5.0  # without Retry-After; doubles
THROTTLE_LAST: Final = 60.0
QUOTA_THROTTLE: Final = 300.0
AUTH_FLAG: Final = 60.0  # doubles
AUTH_FLAG_MAX: Final = 600.0
CRASH_FLAG: Final = 60.0
MODEL_FLAG: Final = 60.0
BUSY_MOMENT: Final = 2.0  # ordered behind free ones for this long
CHECKS_REMEMBERED: Final = 86400.0  # that an endpoint answers checks beside a running call
TEST_TOLD: Final = 60.0  # for so long a good test is told to other processes
NOTES_EVERY: Final = 5.0  # longest time until other processes hear of it
SECRET_PAUSE: Final = 5.0  # a secret that could not be had is looked for again after this, doubling
LONGEST_SECRET_PAUSE: Final = 60.0
SECRET_WAIT: Final = 1.0  # longest that a request waits for that, and only where nobody else can be asked
SPEED_MEMORY: Final = 30.0  # a good moment outweighs a bad one of so long ago (strategy `fastest`)
AFFINITY_MEMORY: Final = 300.0  # a conversation stays where it was served, even away from home (strategy `affinity`)
MODEL_LIST_CACHE: Final = 60.0  # the backend's model list, where a default model is taken from it

# The history

FLUSH_SECONDS: Final = 0.1  # longest time that what has been recorded waits for company
FLUSH_ROWS: Final = 500  # so many together are written at once
QUEUE_ROWS: Final = 10_000  # so many wait at most for a slow disk; what comes then is lost, and counted
ROWS_AT_ONCE: Final = 16  # are worked out; then the event loop has a turn
REST: Final = 0.001  # seconds of such a turn
HURRY_ROWS: Final = 2_000  # with so many waiting there is no rest
LOCKED_SECONDS: Final = 10.0  # a batch is kept for so long while another process holds the file
TROUBLE_OVER: Final = 60.0  # a trouble that has not come for so long is warned of anew
SESSION_REUSE: Final = 1800.0  # a session's name means the same session until it was silent for so long
HISTORY_DAYS: Final = 30  # requests are kept
HISTORY_BYTES: Final = 1024**3  # of the history's file; beyond it the oldest requests go
ROLLUP_DAYS: Final = 400  # the sums of the hours are kept
PRUNE_SECONDS: Final = 60.0  # between two looks for what is too old or too much
PRUNE_ROWS: Final = 1000  # removed in one step, so that nobody waits for it
BODY_LETTERS: Final = 256 * 1024  # longest body that is kept whole
BODIES: Final = ("off", "errors", "all")


@frozen(kw_only=True)
class Limits:
    """Bounds of a call, in seconds. None means: not said here, the next nearest place holds.

    Attributes:
        total: the whole call: plan, waits, attempts, stream and all.
        timeout: one plain attempt, from sent to complete.
        connect: until a connection stands.
        first_token: a stream's longest silence until its first meaningful delta.
        idle: its longest silence between bytes after that.
        check_after: silence after which the backend's cheap check is asked beside the call.
        max_answer_bytes: the largest plain answer that is read.
    """

    total: float | None = None
    timeout: float | None = None
    connect: float | None = None
    first_token: float | None = None
    idle: float | None = None
    check_after: float | None = None
    max_answer_bytes: int | None = None

    def __attrs_post_init__(self) -> None:
        for field in fields(Limits):
            value = getattr(self, field.name)
            whole = field.name == "max_answer_bytes"
            fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if value is not None and not (fits and value > 0):
                meant = "whole number of bytes" if whole else "number of seconds"
                raise ValueError(f"{field.name}: must be a positive {meant}, not {value!r}")

    def over(self, other: Limits) -> Limits:
        """These limits, with what they leave open filled from `other`."""
        if self is UNSAID:
            return other
        gaps = {f.name: getattr(other, f.name) for f in fields(Limits) if getattr(self, f.name) is None}
        return evolve(self, **gaps)


UNSAID: Final = Limits()
DEFAULT_LIMITS: Final = Limits(
    timeout=600.0,
    connect=CONNECT_FAR,
    first_token=60.0,
    idle=60.0,
    check_after=10.0,
    max_answer_bytes=64 * 1024 * 1024,
)


_UNITS: Final[Mapping[str, int]] = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}  # in milliseconds
_LONGEST: Final = 100 * 365 * 86_400_000  # beyond it the arithmetic of floats and dates breaks down
_DURATION = re.compile(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*(ms|s|min|m|h)\s*\Z", re.ASCII)
_WHOLE_NUMBER = re.compile(r"\s*\d{1,15}\s*\Z", re.ASCII)


def parse_duration(value: object) -> float:
    """Seconds from integer milliseconds or text with a unit: `180000`, `"30s"`, `"500ms"`, `"2m"`.

    Raises:
        ValueError: for anything else, above all a bare number under 1,000, where nobody can tell
            whether seconds or milliseconds were meant.
    """
    if isinstance(value, str) and (match := _DURATION.match(value)):
        milliseconds = float(match[1]) * _UNITS[match[2]]
    else:
        milliseconds = _bare_milliseconds(value)
    if not 1 <= milliseconds <= _LONGEST:
        raise ValueError(f"{value!r}: a duration lies between 1ms and a hundred years; write 30s, 500ms or 2m")
    return milliseconds / 1000


def _bare_milliseconds(value: object) -> float:
    if isinstance(value, str) and _WHOLE_NUMBER.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and value % 1):
        raise ValueError(f"{value!r} is no duration; write 30s, 500ms or 2m")
    if 0 < value < 1000:
        number = int(value)
        raise ValueError(f"{number}: seconds or milliseconds? write {number}s or {number}ms")
    return value


def duration_ms(seconds: float) -> int:
    """Seconds as the integer milliseconds in which durations are kept."""
    return round(seconds * 1000)


def _whole(value: object) -> int:
    if isinstance(value, str) and _WHOLE_NUMBER.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is no whole number of 1 or more")
    return value


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError(f"{value!r} is neither true nor false")


def _one_of(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return parse


# After these nobody else can be asked: the caller has had a part of the answer, or has gone.
_FINAL: Final = (Failure.TRUNCATED, Failure.STALLED, Failure.CANCELLED)
_FALLBACK: Final = tuple(sorted(str(failure) for failure in Failure if failure not in _FINAL))


def _failures(value: object) -> tuple[str, ...]:
    names = [name for part in value.split(",") if (name := part.strip())] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError(f"{value!r} is no list of failure classes")
    for name in names:
        if name in _FINAL:
            raise ValueError(f"{name!r} comes when nobody else can be asked any more; choose of {', '.join(_FALLBACK)}")
        if name not in _FALLBACK:
            raise ValueError(f"{name!r} is no failure class; they are {', '.join(_FALLBACK)}")
    return tuple(str(name) for name in names)


@frozen
class RoutingOption:
    """One option of routing: its name outside Python, its meaning, and how its value is read."""

    name: str
    help: str
    parse: Callable[[object], Any]
    default: Any = None

    @property
    def duration(self) -> bool:
        return self.parse is parse_duration

    @property
    def setting(self) -> str:
        return f"routing.{self.name}"

    @property
    def variable(self) -> str:
        """`maxWait` → `PROUTER_ROUTING_MAX_WAIT`."""
        return "PROUTER_ROUTING_" + re.sub(r"(?<!^)([A-Z])", r"_\1", self.name).upper()


STRATEGIES: Final = ("priority", "weighted", "least-busy", "fastest", "affinity")
ZONES: Final = ("loopback", "lan", "internet")  # from the strictest outwards

ROUTING: Final[Mapping[str, RoutingOption]] = {
    option.name: option
    for option in (
        RoutingOption("timeout", "longest plain attempt, from sent to complete", parse_duration, 600.0),
        RoutingOption(
            "connectTimeout",
            "longest wait for a connection (5s; 3s on loopback and private networks)",
            parse_duration,
            None,
        ),
        RoutingOption(
            "firstTokenTimeout",
            "a stream's longest silence before its first token (60s; 300s for types that may load a model)",
            parse_duration,
            60.0,
        ),
        RoutingOption("idleTimeout", "a stream's longest silence after its first token", parse_duration, 60.0),
        RoutingOption("checkAfter", "silence after which the backend is asked if it lives", parse_duration, 10.0),
        RoutingOption("upstreamStream", "whether plain calls ride a stream to the backend", _truth, default=False),
        RoutingOption("maxAnswerBytes", "largest plain answer that is read", _whole, 64 * 1024 * 1024),
        RoutingOption("maxAttempts", "most upstream calls for one request", _whole, 6),
        RoutingOption("maxWait", "longest wait for a free slot", parse_duration, 30.0),
        RoutingOption("maxParallel", "most calls in flight at a provider (default: no bound)", _whole, None),
        RoutingOption(
            "strategy", "order inside one priority: " + ", ".join(STRATEGIES), _one_of(*STRATEGIES), "priority"
        ),
        RoutingOption("fallbackOn", "further failure classes that go on to the next provider", _failures, ()),
        RoutingOption(
            "resume", "what a stream cut after its first token does: error, replay", _one_of("error", "replay"), "error"
        ),
        RoutingOption("guards", "what a doubtful answer does: off, warn, next", _one_of("off", "warn", "next"), "warn"),
        RoutingOption("zone", "where a provider lies, or how far a request may go", _one_of(*ZONES), None),
        RoutingOption("open", "whether a provider takes any model name", _truth, None),
        RoutingOption("retryAfterMax", "longest throttle that a backend can cause", parse_duration, 300.0),
    )
}
