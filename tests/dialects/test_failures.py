"""What a backend says is understood in every form seen, and told in one bounded line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provider_router.dialects.failures import (
    MESSAGE_LENGTH,
    ErrorBody,
    classify,
    error_of,
    retry_after,
    shortened,
)
from provider_router.errors import Failure, error_class

_RECORDED = sorted((Path(__file__).parents[1] / "data" / "errors").glob("*.http"), key=lambda path: path.name)


def _recorded(path: Path) -> tuple[dict[str, str], int, dict[str, str], bytes]:
    """A recorded answer: what is expected of it, its status, its headers, its body."""
    head, _, body = path.read_bytes().partition(b"\n\n")
    lines = head.decode().splitlines()
    notes = dict(line[2:].split(": ", 1) for line in lines[1:] if line.startswith("# "))
    rest = [line for line in lines if not line.startswith("#")]
    return notes, int(rest[0].split()[1]), dict(line.split(": ", 1) for line in rest[1:]), body


@pytest.mark.parametrize("path", _RECORDED, ids=lambda path: path.stem)
def test_a_recorded_answer_is_understood(path: Path) -> None:
    notes, status, headers, body = _recorded(path)
    model, wait = notes.get("model"), retry_after(headers)
    error = error_of(status, ErrorBody.parse(body), who="desk", model=model, retry_after=wait)
    assert notes["expect"] == error.failure
    assert type(error) is error_class(Failure(notes["expect"]))
    assert error.message.startswith("desk answered ")
    assert notes["message"] == error.message.partition(": ")[2]
    assert ("desk", model, wait) == (error.provider, error.model, error.retry_after)


def test_every_class_that_a_status_or_a_code_can_mean_has_a_recorded_answer() -> None:
    seen = {_recorded(path)[0]["expect"] for path in _RECORDED}
    elsewhere = {"connect", "reset", "timeout", "truncated", "stalled", "cancelled", "crashed"}
    assert {str(failure) for failure in Failure} - elsewhere == seen


@pytest.mark.parametrize(
    "statuses, failure",
    [
        ([500, 502, 503, 504, *range(520, 530), 408, 409, 425, 507], Failure.SERVER),
        ([429], Failure.RATE_LIMIT),
        ([402], Failure.QUOTA),
        ([401, 403], Failure.AUTH),
        ([405, 415, 501], Failure.CAPABILITY),
        ([400, 404, 410, 413, 418, 422, 451], Failure.BAD_REQUEST),
        ([200, 204, 301, 308], Failure.MALFORMED),
    ],
)
def test_where_the_body_says_nothing_the_status_decides(statuses: list[int], failure: Failure) -> None:
    assert [failure] * len(statuses) == [classify(status, ErrorBody(message="?")) for status in statuses]


@pytest.mark.parametrize(
    "status, code, failure",
    [
        (400, "context_length_exceeded", Failure.CONTEXT_LENGTH),
        (413, "context_length_exceeded", Failure.CONTEXT_LENGTH),
        (429, "insufficient_quota", Failure.QUOTA),
        (403, "insufficient_quota", Failure.QUOTA),
        (402, "rate_limit_exceeded", Failure.QUOTA),
        (400, "RATE_LIMIT_EXCEEDED", Failure.RATE_LIMIT),
        (403, "content_filter", Failure.CONTENT_POLICY),
        (403, "moderation_blocked", Failure.CONTENT_POLICY),
        (400, "model_not_found", Failure.MODEL_UNAVAILABLE),
        (503, "model_loading", Failure.BUSY),
        (429, "queue_full", Failure.BUSY),
        (400, "unsupported_value", Failure.CAPABILITY),
        (400, "server_error", Failure.SERVER),
        (429, "server_error", Failure.RATE_LIMIT),
        (404, "api_error", Failure.BAD_REQUEST),
        (200, "server_error", Failure.SERVER),
        (200, "rate_limit_exceeded", Failure.RATE_LIMIT),
        (200, "never_heard_of", Failure.MALFORMED),
        (500, "invalid_api_key", Failure.AUTH),
    ],
)
def test_a_code_says_more_than_a_status_unless_it_is_a_general_one(status: int, code: str, failure: Failure) -> None:
    assert failure == classify(status, ErrorBody(message="?", code=code))
    assert failure == classify(status, ErrorBody(message="?", type=code))
    assert failure == classify(status, ErrorBody(message="?", code="odd", type=code))


def test_a_503_with_retry_after_is_a_rate_limit() -> None:
    assert Failure.SERVER == classify(503, ErrorBody(message="?"))
    assert Failure.RATE_LIMIT == classify(503, ErrorBody(message="?"), retry_after=0.0)


@pytest.mark.parametrize(
    "model, message, failure",
    [
        ("llama3", 'model "llama3" not found', Failure.MODEL_UNAVAILABLE),
        ("llama3", "model llama3:latest not found", Failure.MODEL_UNAVAILABLE),
        ("org/llama3", "The model `org/llama3` does not exist.", Failure.MODEL_UNAVAILABLE),
        ("llama3", "llama3.", Failure.MODEL_UNAVAILABLE),
        ("a", "no such path", Failure.BAD_REQUEST),
        ("llama3", "model llama3-70b not found", Failure.BAD_REQUEST),
        ("lama3", "model llama3 not found", Failure.BAD_REQUEST),
        ("", "no such path", Failure.BAD_REQUEST),
        (None, "no such model", Failure.BAD_REQUEST),
    ],
)
def test_a_404_is_about_the_model_where_it_names_it(model: str | None, message: str, failure: Failure) -> None:
    assert failure == classify(404, ErrorBody(message=message), model=model)
    assert failure == classify(410, ErrorBody(message=message), model=model)
    assert Failure.MODEL_UNAVAILABLE == classify(404, ErrorBody(message=message, param="model"), model=model)
    assert Failure.BAD_REQUEST == classify(400, ErrorBody(message=message), model=model)


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], [5], "text", 5, {}, {"error": None}, {"error": ""}, {"error": {}}, {"message": "a greeting"}),
        {"choices": [{"message": {}}], "error": None},
        {"choices": [{"message": {}}], "detail": "of the answer", "message": "of the answer", "code": 1},
        {"data": [{"id": "m"}], "detail": "of the list"},
        {"choices": [], "usage": {}},
    ],
)
def test_a_body_without_an_error_has_none(body: object) -> None:
    assert ErrorBody.read(body) is None


@pytest.mark.parametrize(
    "body, expected",
    [
        ({"error": "boom", "code": 503}, ErrorBody(message="boom", code="503", status=503)),
        ({"error": "Not Found", "status": 404}, ErrorBody(message="Not Found", status=404)),
        ({"error": {"code": "X1"}}, ErrorBody(message="X1", code="X1")),
        ({"error": {"details": "late"}}, ErrorBody(message="late")),
        ({"error": {"x": 1}}, ErrorBody(message="error")),
        ({"error": 500}, ErrorBody(message="error")),
        ({"error": {"message": 5, "code": True}}, ErrorBody(message="5")),
        (
            {"error": {"message": "m", "code": "503", "param": "p"}},
            ErrorBody(message="m", code="503", param="p", status=503),
        ),
        ({"error": {"message": "m", "code": 1000}}, ErrorBody(message="m", code="1000")),
        ({"error": {"message": "m", "code": ""}}, ErrorBody(message="m")),
        ({"detail": {"error": "boom"}}, ErrorBody(message="boom")),
        ({"detail": ["a", {"msg": "b"}], "code": 422}, ErrorBody(message="a; b", code="422", status=422)),
        ({"choices": [], "error": "boom"}, ErrorBody(message="boom")),
    ],
)
def test_an_error_is_read_from_every_form(body: object, expected: ErrorBody) -> None:
    assert expected == ErrorBody.read(body)


_FIELDS = [
    *("error", "detail", "message", "code", "type", "status", "statusCode"),
    *("metadata", "loc", "msg", "object", "data", "x"),
]
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "detail",
                    "message",
                    "code",
                    "type",
                    "status",
                    "statusCode",
                    "metadata",
                    "loc",
                    "msg",
                    "object",
                    "data",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(json_values, st.integers(100, 599), st.sampled_from([None, "m", "[a"]))
def test_whatever_a_backend_says_becomes_one_bounded_printable_line(body: Any, status: int, model: str | None) -> None:
    for data in (json.dumps(body).encode(), repr(body).encode("utf-8", "surrogatepass")):
        error = error_of(status, ErrorBody.parse(data), who="desk", model=model)
        said = error.message.partition(": ")[2]
        assert 0 < len(said) <= MESSAGE_LENGTH
        assert said.isprintable()
        assert len(error.code or "") <= MESSAGE_LENGTH
        assert error_class(error.failure) is type(error)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_message(data: bytes) -> None:
    message = ErrorBody.parse(data).message
    assert message
    assert message.isprintable()


def test_a_text_cannot_steer_the_terminal() -> None:
    assert "red �[31m bell � wide �" == shortened("red \x1b[31m\r\n bell \x07\twide \ud83d")


def test_a_blank_text_is_called_none() -> None:
    assert "no text" == ErrorBody.parse(b'{"error": {"message": "  "}}').message
    assert "desk answered 500: no text" == str(error_of(500, ErrorBody(message=" "), who="desk"))


def test_a_long_text_is_cut() -> None:
    assert ("x" * (MESSAGE_LENGTH - 1)) + "…" == shortened("x" * 10_000_000)


@pytest.mark.parametrize(
    "body", [b"<title>" * 10_000, b"<html" + b"<title" * 10_000, b"[" * 60_000, b'{"error":' * 9000]
)
def test_a_body_made_to_cost_time_costs_none(body: bytes) -> None:
    assert len(ErrorBody.parse(body).message) <= MESSAGE_LENGTH


def test_what_is_wrapped_too_deep_is_not_looked_for() -> None:
    body: object = "boom"
    for _ in range(300):
        body = [body]
    assert "error" == ErrorBody.parse(json.dumps({"error": {"message": body}}).encode()).message


def test_an_error_says_who_what_and_how_long() -> None:
    body = ErrorBody(message="slow down", code="rate_limit_exceeded", type="requests")
    error = error_of(429, body, who="desk", model="m", retry_after=2.0)
    assert ("desk answered 429: slow down", 429, "rate_limit_exceeded", 2.0, "HTTP 429", "m") == (
        str(error),
        error.status,
        error.code,
        error.retry_after,
        error.detail,
        error.model,
    )


def test_an_error_inside_a_good_answer_says_so() -> None:
    error = error_of(200, ErrorBody(message="boom"), who="desk")
    assert ("desk answered with an error: boom", None, "an error in its answer") == (
        str(error),
        error.status,
        error.detail,
    )
    error = error_of(200, ErrorBody(message="boom", status=503), who="desk")
    assert ("desk answered 503: boom", 503, "HTTP 503") == (str(error), error.status, error.detail)


NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250.5", "retry-after": "7"}, 0.2505),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 13:00:30 +0100"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Monday, 23-Nov-26 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:59:00 GMT"}, 0.0),
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Mon, 99 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 +" + "9" * 30}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert seconds == retry_after(headers, now=NOW)


def test_a_date_is_measured_from_the_present_time() -> None:
    found = retry_after({"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)})
    assert found is not None
    assert 3500 < found <= 3600


_date_words = st.sampled_from(
    ["Mon,", "23", "Nov", "2026", "12:00:30", "GMT", "+0100", "-9999", "99", "0", ":", ",", "-"]
)


@given(st.one_of(st.text(max_size=30), st.lists(_date_words, max_size=8).map(" ".join)))
@example("0\x1f")
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = retry_after({"retry-after": value}, now=NOW)
    assert seconds is None or seconds >= 0
