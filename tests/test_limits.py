"""The numbers are those of the contract, and durations are read without guessing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router import limits
from provider_router.errors import Failure
from provider_router.limits import DEFAULT_LIMITS, ROUTING, UNSAID, Limits, duration_ms, parse_duration


@pytest.mark.parametrize(
    "written, seconds",
    [
        (180000, 180.0),
        ("180000", 180.0),
        (" 1000 ", 1.0),
        (1000, 1.0),
        (180000.0, 180.0),
        ("30s", 30.0),
        ("30 s", 30.0),
        ("500ms", 0.5),
        ("1ms", 0.001),
        ("0.3s", 0.3),
        ("2m", 120.0),
        ("2min", 120.0),
        ("1.5h", 5400.0),
    ],
)
def test_a_duration_is_milliseconds_or_text_with_a_unit(written: object, seconds: float) -> None:
    assert seconds == parse_duration(written)


@pytest.mark.parametrize("written", [20, "20", " 20 ", 20.0])
def test_a_bare_small_number_is_refused_with_the_question_which_was_meant(written: object) -> None:
    with pytest.raises(ValueError, match=r"^20: seconds or milliseconds\? write 20s or 20ms$"):
        parse_duration(written)


@pytest.mark.parametrize(
    "written",
    [
        *(0, "0", "0s", "0.5ms", -1, -5000, 10**400, "9" * 15 + "h", 10**15, math.inf),
        *(True, None, [], {}, "", "soon", "-5s", "5 minutes", "30S", "1e3", "0.5", 1000.5, math.nan, "٣s", "9" * 5000),
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match="write 30s, 500ms or 2m"):
        parse_duration(written)


@given(st.integers(min_value=1000, max_value=10**12))
def test_milliseconds_come_back_as_they_were_kept(milliseconds: int) -> None:
    assert milliseconds == duration_ms(parse_duration(milliseconds)) == duration_ms(parse_duration(f"{milliseconds}ms"))


@given(st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.none(), st.booleans()))
def test_a_duration_is_positive_and_finite_or_a_value_error(written: object) -> None:
    try:
        seconds = parse_duration(written)
    except ValueError:
        return
    assert 0 < seconds < math.inf
    assert duration_ms(seconds) >= 1


def test_limits_are_filled_from_the_next_nearest_place() -> None:
    call = Limits(total=5, idle=2)
    provider = Limits(idle=9, connect=1)
    filled = call.over(provider).over(DEFAULT_LIMITS)
    assert (5, 2, 1, 60.0) == (filled.total, filled.idle, filled.connect, filled.first_token)
    assert provider is UNSAID.over(provider)


@pytest.mark.parametrize("field", ["total", "timeout", "connect", "first_token", "idle", "check_after"])
@pytest.mark.parametrize("value", [0, -1, math.nan, "30s", True])
def test_a_limit_that_is_no_positive_number_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field}: must be a positive number of seconds, not "):
        Limits(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 1.5, True, "many"])
def test_the_largest_answer_is_a_number_of_bytes(value: object) -> None:
    with pytest.raises(ValueError, match=r"^max_answer_bytes: must be a positive whole number of bytes, not "):
        Limits(max_answer_bytes=value)  # type: ignore[arg-type]


# The numbers of the contract, written a second time on purpose: a change of one is a change of the contract.
_NUMBERS: dict[str, object] = {
    "CONNECT_NEAR": 3.0,
    "CONNECT_FAR": 5.0,
    "FIRST_TOKEN_LOCAL": 300.0,
    "CHECK_SILENCE": 3.0,
    "REASONING_IDLE_FACTOR": 3.0,
    "PREAMBLE_EVENTS": 64,
    "PREAMBLE_BYTES": 256 * 1024,
    "RETRY_WAIT": (0.25, 0.5),
    "RETRY_WAIT_MAX": 4.0,
    "RATE_LIMIT_WAIT": (0.5, 1.0),
    "PATIENCE": 3.0,
    "RETRY_BUDGET_RATIO": 1 / 5,
    "RETRY_BUDGET_WINDOW": 10.0,
    "RETRY_BUDGET_FLOOR": 3.0,
    "OPENING": 5.0,
    "OPENING_MAX": 15.0,
    "OPENING_SPREAD": 0.2,
    "TIMEOUTS_IN_A_ROW": 2,
    "SERVER_FAULTS_IN_A_ROW": 3,
    "FAULT_WINDOW": 60.0,
    "FAULT_WINDOW_LEAST": 10,
    "FAULT_WINDOW_RATIO": 0.5,
    "ASK_UNWELL_AT_MOST": 2,
    "THROTTLE_LEAST": 1.0,
    "THROTTLE_FIRST": 5.0,
    "THROTTLE_LAST": 60.0,
    "QUOTA_THROTTLE": 300.0,
    "AUTH_FLAG": 60.0,
    "AUTH_FLAG_MAX": 600.0,
    "MODEL_FLAG": 60.0,
    "MODEL_LIST_CACHE": 60.0,
}
_DEFAULTS: dict[str, object] = {
    "timeout": 600.0,
    "connectTimeout": None,
    "firstTokenTimeout": 60.0,
    "idleTimeout": 60.0,
    "checkAfter": 10.0,
    "upstreamStream": False,
    "maxAnswerBytes": 64 * 1024 * 1024,
    "maxAttempts": 6,
    "maxWait": 30.0,
    "maxParallel": None,
    "strategy": "priority",
    "fallbackOn": (),
    "resume": "error",
    "guards": "warn",
    "zone": None,
    "open": None,
    "retryAfterMax": 300.0,
}


@pytest.mark.parametrize("name", _NUMBERS)
def test_the_number_is_that_of_the_contract(name: str) -> None:
    assert _NUMBERS[name] == getattr(limits, name)


def test_the_options_and_their_defaults_are_those_of_the_contract() -> None:
    assert _DEFAULTS == {name: option.default for name, option in ROUTING.items()}


def test_the_limits_of_a_call_without_any_say_are_the_defaults_of_the_options() -> None:
    assert (
        Limits(
            timeout=_DEFAULTS["timeout"],  # type: ignore[arg-type]
            connect=5.0,
            first_token=_DEFAULTS["firstTokenTimeout"],  # type: ignore[arg-type]
            idle=_DEFAULTS["idleTimeout"],  # type: ignore[arg-type]
            check_after=_DEFAULTS["checkAfter"],  # type: ignore[arg-type]
            max_answer_bytes=_DEFAULTS["maxAnswerBytes"],  # type: ignore[arg-type]
        )
        == DEFAULT_LIMITS
    )


@pytest.mark.parametrize(
    "name, variable, setting",
    [
        ("maxWait", "PROUTER_ROUTING_MAX_WAIT", "routing.maxWait"),
        ("timeout", "PROUTER_ROUTING_TIMEOUT", "routing.timeout"),
        ("firstTokenTimeout", "PROUTER_ROUTING_FIRST_TOKEN_TIMEOUT", "routing.firstTokenTimeout"),
        ("retryAfterMax", "PROUTER_ROUTING_RETRY_AFTER_MAX", "routing.retryAfterMax"),
    ],
)
def test_an_option_has_a_variable_and_a_setting(name: str, variable: str, setting: str) -> None:
    assert (variable, setting) == (ROUTING[name].variable, ROUTING[name].setting)


def test_the_options_that_are_durations_say_so() -> None:
    durations = {name for name, option in ROUTING.items() if option.duration}
    assert {
        *("timeout", "connectTimeout", "firstTokenTimeout", "idleTimeout", "checkAfter", "maxWait", "retryAfterMax")
    } == durations


@pytest.mark.parametrize(
    "name, written, value",
    [
        ("maxAttempts", 3, 3),
        ("maxAttempts", " 3 ", 3),
        ("upstreamStream", True, True),
        ("upstreamStream", " False ", False),
        ("open", "true", True),
        ("strategy", "least-busy", "least-busy"),
        ("zone", "lan", "lan"),
        ("fallbackOn", "bad_request, content_policy,", ("bad_request", "content_policy")),
        ("fallbackOn", [Failure.BAD_REQUEST], ("bad_request",)),
        ("fallbackOn", "", ()),
        ("maxWait", "2s", 2.0),
    ],
)
def test_an_option_is_read_from_what_people_write(name: str, written: object, value: object) -> None:
    assert value == ROUTING[name].parse(written)


@pytest.mark.parametrize(
    "name, written, hint",
    [
        ("maxAttempts", 0, "no whole number of 1 or more"),
        ("maxAttempts", "1.5", "no whole number of 1 or more"),
        ("maxAttempts", True, "no whole number of 1 or more"),
        ("open", "yes", "neither true nor false"),
        ("open", 1, "neither true nor false"),
        ("strategy", "random", "not one of priority, weighted, least-busy, fastest, affinity"),
        ("zone", ["lan"], "not one of loopback, lan, internet"),
        ("resume", "retry", "not one of error, replay"),
        ("fallbackOn", 5, "no list of failure classes"),
        ("fallbackOn", "sever", "no failure class; they are auth, bad_request, busy"),
        ("fallbackOn", [{}], "no failure class"),
        ("fallbackOn", "truncated", "nobody else can be asked any more"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(name: str, written: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        ROUTING[name].parse(written)
