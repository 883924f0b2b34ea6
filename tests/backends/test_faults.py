"""Each fault is looked at from outside, with a plain httpx client and raw sockets."""

from __future__ import annotations

import datetime
import email.utils
import json
import re
import socket
import ssl
import threading

import httpx
import pytest

from provider_router.backends import CHAT, FAULTS, Backend, Fault, Request, oversized
from provider_router.backends.misbehaviour import STORY
from provider_router.dialects.failures import ErrorBody, classify, retry_after
from provider_router.errors import Failure

STORY_TEXT = str(STORY.text)
STATUSES = [fault for name, fault in FAULTS.items() if re.match(r"\d{3}", name)]
OTHERS = [fault for fault in FAULTS.values() if fault not in STATUSES]

# What a client sees: the text that arrived, then how it ended.
NEVER = "never: silence"
RESET = "never: reset"
CLOSED = "never: closed"
WHOLE = f"200 {STORY_TEXT!r}, finished, done, ended"
SEEN_PLAIN = {
    "refused": "never: no connection",
    "black-hole": "never: connecting",
    "tls-plain": "never: no connection",
    "tls-garbage": "never: no connection",
    "frozen": NEVER,
    "silent-everywhere": NEVER,
    "silent": NEVER,
    "slow": WHOLE,
    "reset": RESET,
    "closed": CLOSED,
    "cut-head": CLOSED,
    "dead-when-reused": WHOLE,
    "not-http": CLOSED,
    "html": "200 other, ended",
    "broken-json": "200 other, ended",
    "empty": "200 nothing, ended",
    "no-choices": "200 other, ended",
    "error-in-200": "200 error, ended",
    "error-in-200-string": "200 error, ended",
    "error-in-200-code": "200 error, ended",
    "cut-chunked": "200 other, closed",
    "oversized": "200 nothing, too much",
    "pings": NEVER,
    "cut": "200 other, closed",
    "cut-reset": "200 other, reset",
    "cut-unframed": "200 other, ended",
    "stall": "200 other, silence",
}
SEEN_STREAM = {
    **SEEN_PLAIN,
    "pings": "200 '', comments, silence",
    "oversized": "200 nothing, too much",
    "error-first": "200 '', error, ended",
    "role-then-error": "200 '', error, ended",
    "role-then-rate-limit": "200 '', error, ended",
    "role-then-end": "200 '', ended",
    "role-then-done": "200 '', done, ended",
    "role-then-cut": "200 '', closed",
    "role-then-nothing": "200 '', silence",
    "endless-preamble": "200 '', too much",
    "cut": "200 'One pelican', closed",
    "cut-reset": "200 'One pelican', reset",
    "cut-unframed": "200 'One pelican', ended",
    "stall": "200 'One pelican', silence",
    "error-midway": "200 'One pelican', error, ended",
    "no-finish": f"200 {STORY_TEXT!r}, ended",
    "no-finish-done": f"200 {STORY_TEXT!r}, done, ended",
    "tool-call-cut": "200 '', tool call, ended",
    "bad-event": f"200 {STORY_TEXT!r}, broken, finished, done, ended",
    "byte-by-byte": "200 'Grüße, 日本, 🦩', finished, done, ended",
    "untyped": WHOLE,
    "no-done": f"200 {STORY_TEXT!r}, finished, ended",
}


def patience(expected: str) -> float:
    """Seconds of silence that are borne: few where nothing else is to come, and where something is, enough for it."""
    if expected in (NEVER, "never: connecting"):
        return 0.3
    return 1.5 if expected.endswith("silence") else 30.0


def seen_by_a_client(backend: Backend, *, streamed: bool, expected: str = WHOLE) -> str:
    """Tell in a line what a client sees that gives up after 300 kB, or a silence that is as long as is expected."""
    limits = httpx.Timeout(patience(expected))
    body = {"model": "m", "messages": [], "stream": streamed}
    received, end = b"", "ended"
    try:
        with (
            httpx.Client(trust_env=False, verify=False, timeout=limits) as client,
            client.stream("POST", f"{backend.base_url}/chat/completions", json=body) as response,
        ):
            try:
                for data in response.iter_raw():
                    received += data
                    if len(received) > 300_000:
                        received, end = received.rpartition(b"\n\n")[0], "too much"
                        break
            except httpx.TransportError as error:
                end = ending(error)
    except httpx.TransportError as error:
        return f"never: {ending(error)}"
    return f"{response.status_code} {', '.join([*contents(received, streamed=streamed), end])}"


def ending(error: httpx.TransportError) -> str:
    names = {
        httpx.ConnectError: "no connection",
        httpx.ConnectTimeout: "connecting",
        httpx.ReadTimeout: "silence",
        httpx.ReadError: "reset",
        httpx.RemoteProtocolError: "closed",
    }
    return names[type(error)]


def contents(received: bytes, *, streamed: bool) -> list[str]:
    if not received:
        return ["nothing"]
    if not streamed or not received.startswith((b"data:", b"event:", b":")):
        try:
            decoded = json.loads(received)
        except ValueError:
            return ["other"]
        if "error" in decoded:
            return ["error"]
        if "choices" not in decoded:
            return ["other"]
        return [repr(decoded["choices"][0]["message"]["content"]), "finished", "done"]
    text, marks = "", []
    for event in received.decode(errors="replace").split("\n\n"):
        data = event.partition("data: ")[2]
        if event.startswith(":"):
            marks.append("comments")
        elif data == "[DONE]":
            marks.append("done")
        elif data:
            try:
                decoded = json.loads(data)
            except ValueError:
                marks.append("broken")
                continue
            if "error" in decoded:
                marks.append("error")
                continue
            [choice] = decoded["choices"]
            text += choice["delta"].get("content") or ""
            marks += ["tool call"] if "tool_calls" in choice["delta"] else []
            marks += ["finished"] if choice["finish_reason"] else []
    return [repr(text), *dict.fromkeys(marks)]


def test_every_fault_is_looked_at_here() -> None:
    assert {fault.name for fault in OTHERS if fault.plain} == SEEN_PLAIN.keys()
    assert {fault.name for fault in OTHERS if fault.stream} == SEEN_STREAM.keys() - {"cut-chunked"}


@pytest.mark.parametrize("fault", [fault for fault in OTHERS if fault.plain], ids=lambda fault: fault.name)
def test_a_plain_call_sees_the_fault(fault: Fault) -> None:
    if not fault.available:
        pytest.skip("not on this system")
    expected = SEEN_PLAIN[fault.name]
    with fault.backend() as backend:
        assert expected == seen_by_a_client(backend, streamed=False, expected=expected)


@pytest.mark.parametrize("fault", [fault for fault in OTHERS if fault.stream], ids=lambda fault: fault.name)
def test_a_stream_sees_the_fault(fault: Fault) -> None:
    if not fault.available:
        pytest.skip("not on this system")
    expected = SEEN_STREAM[fault.name]
    with fault.backend() as backend:
        assert expected == seen_by_a_client(backend, streamed=True, expected=expected)


@pytest.mark.parametrize("fault", [fault for fault in OTHERS if not fault.plain], ids=lambda fault: fault.name)
def test_a_fault_of_streams_leaves_plain_answers_alone(fault: Fault) -> None:
    with fault.backend() as backend:
        assert seen_by_a_client(backend, streamed=False).endswith("finished, done, ended")


def test_a_fault_of_plain_answers_cuts_a_stream() -> None:
    with FAULTS["cut-chunked"].backend() as backend:
        assert "200 'One pelican', closed" == seen_by_a_client(backend, streamed=True)


@pytest.mark.parametrize("fault", STATUSES, ids=lambda fault: fault.name)
def test_a_status_is_sent_with_an_error_and_the_headers_of_its_name(fault: Fault) -> None:
    with fault.backend() as backend:
        response = httpx.post(
            f"{backend.base_url}/chat/completions", json={"stream": True}, trust_env=False, verify=False
        )
    assert int(fault.name[:3]) == response.status_code
    assert {"error", "detail"} & response.json().keys()
    assert ("retry-after" in fault.name) == bool({"retry-after", "retry-after-ms"} & response.headers.keys())
    assert ("string" in fault.name) == isinstance(response.json().get("error"), str)


@pytest.mark.parametrize(
    "fault", [fault for fault in STATUSES if fault.dialect == "openai"], ids=lambda fault: fault.name
)
def test_a_status_is_of_the_class_that_its_fault_names(fault: Fault) -> None:
    with fault.backend() as backend:
        response = httpx.post(f"{backend.base_url}/chat/completions", json={}, trust_env=False, verify=False)
    error = ErrorBody.parse(response.content)
    assert fault.plain == classify(response.status_code, error, retry_after=retry_after(response.headers))


def test_every_outcome_is_a_failure_class_or_none() -> None:
    known = {*Failure, "ok", None}
    assert known >= {fault.plain for fault in FAULTS.values()} | {fault.stream for fault in FAULTS.values()}


def test_retry_after_comes_in_all_forms() -> None:
    def header(name: str) -> str:
        with FAULTS[name].backend() as backend:
            headers = httpx.post(f"{backend.base_url}/chat/completions", json={}, trust_env=False, verify=False).headers
        return str(headers.get("retry-after-ms") or headers["retry-after"])

    assert ["1", "0.5", "500", "3600"] == [
        header(f"429-retry-after{form}") for form in ("", "-decimal", "-ms", "-long")
    ]
    asked = datetime.datetime.now(datetime.UTC)
    then = email.utils.parsedate_to_datetime(header("503-retry-after-date"))
    assert asked < then <= datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)


def test_a_check_is_answered_beside_a_silent_backend_unless_the_fault_says_otherwise() -> None:
    def answered(name: str) -> bool:
        with FAULTS[name].backend() as backend:
            try:
                url, limit = f"{backend.base_url}/models", 10.0 if name == "silent" else 0.2
                return httpx.get(url, trust_env=False, verify=False, timeout=limit).is_success
            except httpx.TransportError:
                return False

    assert [True, False, False] == [answered(name) for name in ("silent", "silent-everywhere", "frozen")]


def test_a_reused_connection_is_dead_and_a_fresh_one_is_not() -> None:
    with FAULTS["dead-when-reused"].backend() as backend, httpx.Client(trust_env=False, verify=False) as client:
        url = f"{backend.base_url}/chat/completions"
        assert client.post(url, json={}).is_success
        with pytest.raises(httpx.ReadError):
            client.post(url, json={})
        assert client.post(url, json={}).is_success
        assert [(1, 1), (1, 2), (2, 1)] == [(request.connection, request.turn) for request in backend.requests]


@pytest.mark.parametrize("name", ["tls-plain", "tls-garbage"])
def test_a_tls_handshake_fails_for_what_is_said_not_for_silence(name: str) -> None:
    context = ssl.create_default_context()
    with FAULTS[name].backend() as backend, socket.create_connection(("127.0.0.1", backend.port), timeout=5) as peer:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(peer, server_hostname="localhost")
        assert backend.url.startswith("https://")


def test_an_answer_without_measure_ends_where_its_size_says() -> None:
    with Backend(oversized(size=100_000)) as backend:
        url = f"{backend.base_url}/chat/completions"
        plain = httpx.post(url, json={}, trust_env=False, verify=False).json()
        streamed = httpx.post(url, json={"stream": True}, trust_env=False, verify=False).text
    assert 131_072 == len(plain["choices"][0]["delta"]["content"])
    [event, done, _] = streamed.split("\n\n")
    assert 131_072 == len(json.loads(event.removeprefix("data: "))["choices"][0]["delta"]["content"])
    assert "data: [DONE]" == done


def test_pieces_of_a_split_stream_break_utf_8_characters() -> None:
    request = Request(method="POST", path=CHAT, body=b'{"stream": true}')
    reply = FAULTS["byte-by-byte"].reply
    assert reply is not None
    pieces = [step for step in reply(request) if isinstance(step, bytes)]
    assert "1\r\n\xf0\r\n".encode("latin-1") in pieces


def test_a_fault_can_befall_a_running_backend() -> None:
    with Backend() as backend:
        assert "200 'echo: ', finished, done, ended" == seen_by_a_client(backend, streamed=False)
        FAULTS["cut"].apply(backend)
        assert SEEN_STREAM["cut"] == seen_by_a_client(backend, streamed=True)
        FAULTS["refused"].apply(backend)
        assert SEEN_PLAIN["refused"] == seen_by_a_client(backend, streamed=False)


def test_names_are_fit_for_a_command_line_and_sentences_for_people() -> None:
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert fault.says.endswith(".")
        assert fault.plain or fault.stream


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    with FAULTS["silent"].backend() as backend:
        seen_by_a_client(backend, streamed=True, expected=NEVER)
    assert threading.active_count() <= before  # one that an event loop kept from an earlier test may end meanwhile
