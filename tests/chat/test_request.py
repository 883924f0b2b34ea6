"""A request keeps whatever it was given, and takes whatever a caller has."""

from __future__ import annotations

import json
import math
from collections import UserList
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.chat import UNWATCHED, ChatRequest, image, system, user
from provider_router.errors import RequestRejected
from provider_router.limits import UNSAID, Limits

HELLO = [{"role": "user", "content": "hi"}]

names = st.text(max_size=12)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(), max_size=12),  # lone surrogates among them
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool", "odd"]), "content": values}),
    min_size=1,
    max_size=3,
)
bodies = st.dictionaries(names, values, max_size=4).flatmap(
    lambda extra: messages.map(lambda found: {**extra, "messages": found})
)


@given(bodies)
def test_a_body_goes_out_with_every_field_that_it_came_with(body: dict[str, Any]) -> None:
    request = ChatRequest.of(body)
    assert body == request.raw
    assert body == json.loads(request.body)
    assert body == ChatRequest(request.body).raw


@given(bodies, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_bytes_that_nothing_had_to_change_go_out_byte_for_byte(
    body: dict[str, Any], indent: Any, ascii_only: bool
) -> None:
    try:
        data = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        data = json.dumps(body, indent=indent).encode()
    request = ChatRequest.of(ChatRequest(data), stream=bool(body.get("stream")), fields={"temperature": None})
    attempt = request.changed(messages=body["messages"]).attempt(limits=UNSAID, zone=None, progress=UNWATCHED)
    again = attempt.streamed() if attempt.stream else attempt.plain()
    assert data == request.body == attempt.body == again.body


@given(bodies, st.dictionaries(names.filter(lambda name: name != "messages"), values, max_size=3))
def test_a_change_touches_the_named_fields_only(body: dict[str, Any], changes: dict[str, Any]) -> None:
    before = json.dumps(body)
    request = ChatRequest.of(body)
    changed = request.changed(**changes)
    assert {**body, **changes} == changed.raw
    assert request.raw == changed.changed(**{name: body.get(name, ...) for name in changes}).raw
    assert before == json.dumps(body)


def test_an_explicit_false_stream_is_left_as_it_stands() -> None:
    data = b'{ "stream": false, "messages": [{"role": "user", "content": "hi"}] }'
    assert data == ChatRequest.of(ChatRequest(data), stream=False).body


def test_a_plain_request_loses_what_only_streams_may_carry() -> None:
    body = {"messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    assert {"messages": HELLO} == ChatRequest.of(body, stream=False).raw
    assert {"messages": HELLO, "stream": True} == ChatRequest.of({"messages": HELLO}, stream=True).raw


def test_true_is_not_one() -> None:
    assert (
        b'{"messages":[{"role":"user","content":"hi"}],"n":1}' == ChatRequest.of("hi").changed(n=True).changed(n=1).body
    )


def test_a_field_may_have_any_name() -> None:
    assert 1 == ChatRequest.of("hi", extra_body={"self": 1, "fields": 2}).raw["self"]


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("hi", HELLO),
        ([system("be brief"), user("hi")], [{"role": "system", "content": "be brief"}, *HELLO]),
        (tuple(HELLO), HELLO),
        (UserList(HELLO), HELLO),
        (HELLO[0], HELLO),
        ({"messages": HELLO}, HELLO),
    ],
)
def test_a_prompt_is_a_text_messages_or_a_body(prompt: Any, expected: Any) -> None:
    assert expected == list(ChatRequest.of(prompt).messages)


@pytest.mark.parametrize("prompt", [5, None, b"hi", bytearray(b"hi"), {1, 2}])
def test_another_kind_of_prompt_is_a_type_error(prompt: Any) -> None:
    with pytest.raises(TypeError, match="a prompt is a text, a list of messages or a whole body, not "):
        ChatRequest.of(prompt)


@pytest.mark.parametrize(
    "prompt, where",
    [
        ({}, "messages: a chat request needs"),
        ([], "messages: a chat request needs"),
        ({"messages": "hi"}, "messages: a chat request needs"),
        (["hi"], r"messages\[0\]: a message is a mapping with a role"),
        ([*HELLO, {"content": "hi"}], r"messages\[1\]: a message is"),
        ([{"role": 5}], r"messages\[0\]: a message is"),
    ],
)
def test_a_body_without_messages_is_refused_with_the_place(prompt: Any, where: str) -> None:
    with pytest.raises(ValueError, match=where):
        ChatRequest.of(prompt)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("temprature", "did you mean temperature"),
        ("max_token", "did you mean max_tokens"),
        ("fallbak", "did you mean fallback"),
        ("extra_header", "did you mean extra_headers"),
        ("xyzzy", r"pass it as extra_body=\{'xyzzy': …\}"),
    ],
)
def test_an_unknown_field_is_a_type_error_with_a_near_miss(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=f"unknown field '{name}'; {hint}"):
        ChatRequest.of("hi", fields={name: 1})


def test_the_nearest_say_wins() -> None:
    request = ChatRequest.of(
        {"messages": HELLO, "model": "a", "temperature": 1, "top_k": 5},
        model="b",
        stream=True,
        fields={"temperature": 0.5, "seed": None},
        extra_body={"top_k": 40, "model": "c"},
        extra_headers={"x-a": "1"},
    )
    assert {"messages": HELLO, "model": "c", "temperature": 0.5, "top_k": 40, "stream": True} == request.raw
    assert {"x-a": "1"} == request.headers


def test_a_request_may_be_the_prompt_of_another() -> None:
    first = ChatRequest({"messages": HELLO}, headers={"a": "1", "b": "1"}, zone="lan", limits=Limits(idle=1))
    second = ChatRequest.of(first, model="m", extra_headers={"b": "2"})
    assert ({"a": "1", "b": "1"}, None) == (first.headers, first.model)
    assert ({"a": "1", "b": "2"}, "m", "lan", Limits(idle=1)) == (
        second.headers,
        second.model,
        second.zone,
        second.limits,
    )


def test_the_known_fields_are_properties_and_the_rest_is_extra() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = ChatRequest(
        json.dumps(
            {
                "messages": HELLO,
                "model": "m",
                "temperature": 0.1,
                "max_tokens": 5,
                "stop": "END",
                "tools": tools,
                "tool_choice": "auto",
                "response_format": {"type": "text"},
                "top_k": 40,
            }
        ).encode()
    )
    assert ("m", 0.1, 5, ["END"], tools, "auto", {"type": "text"}, False, {"top_k": 40}) == (
        request.model,
        request.temperature,
        request.max_tokens,
        request.stop,
        request.tools,
        request.tool_choice,
        request.response_format,
        request.stream,
        request.extra,
    )
    assert 7 == request.changed(max_completion_tokens=7).max_tokens
    assert ["a", "b"] == request.changed(stop=["a", "b"]).stop
    assert "<ChatRequest model='m' messages=1 stream=False>" == repr(request)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("messages", "model", "stop", "tools", "stream"), values)))
def test_the_views_take_any_json(body: dict[str, Any]) -> None:
    request = ChatRequest(body)
    assert [] == [
        name for name in ("messages", "stop", "tools") if not isinstance(getattr(request, name), list | tuple)
    ]
    assert request.model is None or request.model
    assert repr(request)


@pytest.mark.parametrize("data", [b"", b"[]", b"hi", b"\xff\xfe\xff", b"[" * 100_000])
def test_bytes_that_are_no_json_object_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        ChatRequest.of(ChatRequest(data))


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object()])
def test_what_json_cannot_hold_is_the_callers_fault_and_no_backends(value: Any) -> None:
    request = ChatRequest.of("hi", extra_body={"top_k": value})
    with pytest.raises(RequestRejected, match="the request cannot be sent: "):
        request.body  # noqa: B018


def test_nan_in_bytes_goes_out_as_it_came() -> None:
    data = b'{"messages": [{"role": "user", "content": "hi"}], "x": NaN}'
    assert data == ChatRequest.of(ChatRequest(data)).body


def test_half_an_emoji_goes_out_as_it_came() -> None:
    data = rb'{"messages":[{"role":"user","content":"\ud83d"}],"model":"m"}'
    assert "\ud83d" == ChatRequest(data).messages[0]["content"]
    assert data == ChatRequest(data).changed(model="x").changed(model="m").body


def test_an_attempt_carries_what_was_decided_for_it() -> None:
    class Watcher:
        told = 0

        def connected(self, address: str | None) -> None: ...
        def sent(self) -> None: ...
        def head(self) -> None: ...
        def arrived(self) -> None:
            self.told += 1

    watcher = Watcher()
    request = ChatRequest.of("hi", extra_headers={"a": "1"})
    attempt = request.attempt(limits=Limits(idle=3), zone="lan", progress=watcher)
    attempt.changed(model="m").progress.arrived()
    assert (Limits(idle=3), "lan", 1, {"a": "1"}) == (attempt.limits, attempt.zone, watcher.told, attempt.headers)
    assert (UNSAID, None) == (request.limits, request.zone)


def test_nobody_need_watch() -> None:
    UNWATCHED.connected("127.0.0.1")
    UNWATCHED.sent()
    UNWATCHED.head()
    UNWATCHED.arrived()


def test_an_image_is_a_part_of_a_message() -> None:
    request = ChatRequest.of([user("what is it?", image(b"\x89PNG"), image("http://x/y.png"), {"type": "odd", "a": 1})])
    assert [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
        {"type": "odd", "a": 1},
    ] == request.messages[0]["content"]
