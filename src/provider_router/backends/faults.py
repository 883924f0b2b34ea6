"""Every way to fail that the Router has to know, by name: `FAULTS["cut"].backend()` is a backend that does it.

One fault is missing because no server can have it: a name that does not resolve. Hand in a resolver for that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, Literal

from attrs import evolve, field, frozen

from provider_router.backends.backend import EVERY_PATH, Backend, Dialect
from provider_router.backends.misbehaviour import (
    STORY,
    broken,
    byte_by_byte,
    cut_mid_body,
    dead_when_reused,
    does,
    ended,
    endless_preamble,
    failing,
    oversized,
    pings,
    says,
    says_error,
    silent,
    slow,
    status,
    truncated_tool_call,
    unframed,
    untyped,
    with_event_in_the_middle,
    without_done,
)
from provider_router.backends.voice import Wire
from provider_router.backends.wire import CLOSE, RESET, STALL, Reply

Outcome = Literal[
    "ok",
    "connect",
    "reset",
    "timeout",
    "busy",
    "server",
    "rate_limit",
    "quota",
    "auth",
    "model_unavailable",
    "capability",
    "context_length",
    "content_policy",
    "bad_request",
    "malformed",
    "truncated",
    "stalled",
]
"""What one attempt comes to: a failure class, or "ok" for what looks wrong and is to be borne."""

# Over the 64 MiB that a plain body may have unless set otherwise.
_OVERSIZED: Final = 65 * 2**20


@frozen(kw_only=True)
class Fault:
    """One way to fail.

    Attributes:
        name: What it is called on the command line and in test names.
        says: What can be seen on the wire, in a sentence.
        plain: What an attempt at a plain answer comes to; None if the fault is one of streams only (a plain answer is
            then given well).
        stream: What an attempt at a stream comes to; None if the fault is one of plain answers only.
        reply: What a request gets; None if the fault is none of replies (see `arrange`).
        arrange: What is done to a running backend to give it the fault.
        dialect: Whose dialect the backend speaks: an "lm-studio" text means its class to that provider type only.
        scheme: What the backend's `url` begins with.
        greeting: What the backend sends a caller before it is asked.
        available: Whether this system can have the fault.
        needs: What a dialect has to have, so that its backend can have the fault.
    """

    name: str
    says: str
    plain: Outcome | None
    stream: Outcome | None
    reply: Reply | None = field(default=None, repr=False)
    arrange: Callable[[Backend], None] | None = field(default=None, repr=False)
    dialect: Dialect = "openai"
    scheme: str = "http"
    greeting: bytes = b""
    available: bool = True
    needs: frozenset[Wire] = frozenset()

    def apply(self, backend: Backend) -> None:
        """Give a running backend this fault from its next chat request on.

        `scheme` and `greeting` are not changed by it: for those faults start a backend with `backend()`.
        """
        if self.reply is not None:
            backend.script(self.reply)
        if self.arrange is not None:
            self.arrange(backend)

    @contextmanager
    def backend(self) -> Iterator[Backend]:
        """Run a backend that has this fault."""
        with Backend(dialect=self.dialect, scheme=self.scheme, greeting=self.greeting) as backend:
            self.apply(backend)
            yield backend


def _silent_everywhere(backend: Backend) -> None:
    backend.script(silent(), path=EVERY_PATH)


def _replies(name: str, says: str, outcome: Outcome, reply: Reply, *, dialect: Dialect = "openai") -> Fault:
    return Fault(name=name, says=says, plain=outcome, stream=outcome, reply=reply, dialect=dialect)


def _plain(name: str, says: str, outcome: Outcome, reply: Reply) -> Fault:
    return Fault(name=name, says=says, plain=outcome, stream=None, reply=reply)


def _stream(name: str, says: str, outcome: Outcome, reply: Reply) -> Fault:
    return Fault(name=name, says=says, plain=None, stream=outcome, reply=reply)


def _connections() -> Iterator[Fault]:
    def connect(name: str, says: str, outcome: Outcome, arrange: Callable[[Backend], None]) -> Fault:
        return Fault(name=name, says=says, plain=outcome, stream=outcome, arrange=arrange)

    yield connect("refused", "Nothing listens on the port.", "connect", Backend.kill)
    hole = "Connecting neither succeeds nor fails."
    yield Fault(
        name="black-hole",
        says=hole,
        plain="connect",
        stream="connect",
        arrange=Backend.swallow,
        available=os.name == "posix",
    )
    tls = "A TLS handshake is answered"
    yield Fault(name="tls-plain", says=f"{tls} in plain HTTP.", plain="connect", stream="connect", scheme="https")
    yield Fault(
        name="tls-garbage",
        says=f"{tls} with a broken TLS record.",
        plain="connect",
        stream="connect",
        scheme="https",
        greeting=b"\x16\x03\x03\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff",
    )
    yield connect("frozen", "Connections are accepted, and nothing is ever said.", "timeout", Backend.freeze)
    yield connect(
        "silent-everywhere", "No answer comes, and a check is not answered either.", "timeout", _silent_everywhere
    )
    yield _replies("silent", "No answer comes, while a check is answered.", "busy", silent())
    yield _replies("slow", "The head comes after 0.2 s.", "ok", slow(STORY, by=0.2))
    yield _replies("reset", "The connection is reset before any byte of an answer.", "reset", does(RESET))
    yield _replies("closed", "The connection is closed before any byte of an answer.", "reset", does(CLOSE))
    yield _replies("cut-head", "The connection is closed inside the head.", "reset", does(b"HTTP/1.1 200 O", CLOSE))
    yield _replies("dead-when-reused", "The second request on a connection resets it.", "ok", dead_when_reused())
    greeting = b"SSH-2.0-OpenSSH_9.2\r\n"
    yield _replies("not-http", "What answers speaks another protocol.", "malformed", does(greeting, CLOSE))


def _statuses() -> Iterator[Fault]:
    forms: tuple[tuple[str, str, Callable[[int], Reply]], ...] = (
        ("retry-after", "Retry-After in seconds", lambda number: status(number, retry_after=1)),
        ("retry-after-decimal", "Retry-After as a decimal", lambda number: status(number, retry_after=0.5)),
        ("retry-after-date", "Retry-After as a date", lambda number: status(number, retry_after=timedelta(seconds=2))),
        ("retry-after-ms", "retry-after-ms", lambda number: status(number, retry_after_ms=500)),
        ("retry-after-long", "Retry-After of an hour", lambda number: status(number, retry_after=3600)),
    )
    for number in (500, 502, 503, 504, 529):
        yield _replies(f"{number}", f"{number} without Retry-After.", "server", status(number))
    for number in (500, 502, 504, 529):
        yield _replies(f"{number}-retry-after", f"{number} with Retry-After.", "server", status(number, retry_after=1))
    yield _replies("429", "429 without Retry-After.", "rate_limit", status(429, code="rate_limit_exceeded"))
    for number in (429, 503):
        for name, form, reply in forms:
            yield _replies(f"{number}-{name}", f"{number} with {form}.", "rate_limit", reply(number))
    loading = status(503, "Loading model", code=503, kind="unavailable_error")
    yield _replies("503-loading", "503 that says that the model is being loaded.", "busy", loading)
    yield _replies("402", "402.", "quota", status(402, "Your balance is empty.", code="insufficient_balance"))
    quota = status(429, "You exceeded your current quota.", code="insufficient_quota", kind="insufficient_quota")
    yield _replies("429-quota", "429 with the code insufficient_quota.", "quota", quota)
    yield _replies("401", "401.", "auth", status(401, "Incorrect API key provided.", code="invalid_api_key"))
    yield _replies("403", "403.", "auth", status(403, "Country, region, or territory not supported."))
    yield _replies("408", "408.", "server", status(408))


def _refusals() -> Iterator[Fault]:
    invalid = "invalid_request_error"
    missing = status(404, "The model does not exist.", code="model_not_found", kind=invalid, param="model")
    yield _replies("404-model", "404 with the code model_not_found.", "model_unavailable", missing)
    unloaded = status(400, "No models loaded.", code="model_not_found", kind=invalid, param="model")
    yield _replies("400-model", "400 with the code model_not_found.", "model_unavailable", unloaded)
    long = "This model's maximum context length is 8192 tokens."
    too_long = status(400, long, code="context_length_exceeded", kind=invalid, param="messages")
    yield _replies("400-context", "400 with the code context_length_exceeded.", "context_length", too_long)
    too_large = status(413, long, code="context_length_exceeded", kind=invalid)
    yield _replies("413-context", "413 with the code context_length_exceeded.", "context_length", too_large)
    text = (
        "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context "
        "length of only 4096 tokens, which is not enough."
    )
    yield _replies(
        "400-context-string",
        "400 with LM Studio's text about the context.",
        "context_length",
        status(400, text, form="string"),
        dialect="lm-studio",
    )
    unsupported = status(
        400, "Unsupported parameter: 'logprobs'.", code="unsupported_parameter", kind=invalid, param="logprobs"
    )
    yield _replies("400-capability", "400 with the code unsupported_parameter.", "capability", unsupported)
    yield _replies("501", "501.", "capability", status(501, "No tools here."))
    policy = status(400, "The prompt was filtered.", code="content_filter", kind=invalid)
    yield _replies("400-policy", "400 with the code content_filter.", "content_policy", policy)
    forbidden = status(403, "The prompt was filtered.", code="content_policy_violation", kind=invalid)
    yield _replies("403-policy", "403 with the code content_policy_violation.", "content_policy", forbidden)
    yield _replies("400", "400 for no special reason.", "bad_request", status(400, "Bad body.", kind=invalid))
    yield _replies("400-string", "400 with a bare text.", "bad_request", status(400, "Bad body.", form="string"))
    yield _replies("404", "404 that names no model.", "bad_request", status(404, "Not Found", form="detail"))
    yield _replies("422", "422.", "bad_request", status(422, "Field required.", kind=invalid))
    yield _replies("422-detail", "422 with `detail`.", "bad_request", status(422, "Field required.", form="detail"))


def _answers() -> Iterator[Fault]:
    broke = "Something broke."
    page = b"<!doctype html><title>Welcome</title><p>Please log in.</p>"
    yield _replies("html", "200 with a web page.", "malformed", says(page, content_type="text/html"))
    yield _replies("broken-json", "200 with JSON that is none.", "malformed", says(b'{"choices": [{"mess'))
    yield _replies("empty", "200 with no body.", "malformed", says(b""))
    yield _replies("no-choices", "200 with JSON that is no answer.", "malformed", says({"object": "chat.completion"}))
    yield _replies("error-in-200", "200 with an error object.", "malformed", says_error(broke))
    yield _replies("error-in-200-string", "200 with an error text.", "malformed", says_error(broke, form="string"))
    slow_down = says_error("Slow down.", code=429)
    yield _replies("error-in-200-code", "200 with an error with the number 429.", "rate_limit", slow_down)
    yield _plain("cut-chunked", "A chunked body is cut inside a chunk.", "malformed", cut_mid_body())
    yield _replies("oversized", "An answer, or one event, of 65 MiB.", "malformed", oversized(size=_OVERSIZED))


def _streams() -> Iterator[Fault]:
    broke = "Something broke."
    role = "The role comes, then"

    def halfway(name: str, says: str, plain: Outcome, streamed: Outcome, reply: Reply) -> Fault:
        return Fault(name=name, says=says, plain=plain, stream=streamed, reply=reply)

    yield halfway("pings", "Comments come, then nothing.", "busy", "busy", pings())
    yield _stream("error-first", "The first event is an error.", "malformed", failing(broke))
    yield _stream("role-then-error", f"{role} an error.", "malformed", failing(broke, after=0))
    yield _stream(
        "role-then-rate-limit",
        f"{role} an error with a code.",
        "rate_limit",
        failing("Slow down.", code="rate_limit_exceeded", after=0),
    )
    yield _stream("role-then-end", f"{role} the end.", "malformed", ended(after=0))
    yield _stream("role-then-done", f"{role} [DONE].", "malformed", ended(after=0, done=True))
    yield _stream("role-then-cut", f"{role} the connection is closed.", "malformed", ended(after=0, by=[CLOSE]))
    yield _stream("role-then-nothing", f"{role} nothing.", "busy", ended(after=0, by=[STALL]))
    yield _stream("endless-preamble", "The role comes, again and again.", "malformed", endless_preamble())
    yield halfway("cut", "The connection is closed in the middle.", "malformed", "truncated", broken())
    yield halfway("cut-reset", "The connection is reset in the middle.", "malformed", "truncated", broken(how=RESET))
    yield halfway("cut-unframed", "The end is the connection's, too soon.", "malformed", "truncated", unframed())
    yield halfway("stall", "Nothing more comes in the middle.", "busy", "stalled", broken(how=STALL))
    yield _stream("error-midway", "An error comes in the middle.", "truncated", failing(broke, after=2))
    yield _stream("no-finish", "All comes but a finish_reason and [DONE].", "truncated", ended())
    yield _stream("no-finish-done", "All comes but a finish_reason.", "truncated", ended(done=True))
    yield _stream("tool-call-cut", "It ends inside a tool call's arguments.", "truncated", truncated_tool_call())
    yield _stream("bad-event", "One event is broken.", "ok", with_event_in_the_middle('{"choices": [{"del'))
    yield _stream("byte-by-byte", "Each byte comes for itself.", "ok", byte_by_byte())
    yield _stream("untyped", "The stream calls itself JSON.", "ok", untyped())
    yield _stream("no-done", "The finish_reason comes, [DONE] does not.", "ok", without_done())


_NEEDS: Final[Mapping[Wire, str]] = {
    Wire.JSON: "html broken-json empty no-choices",
    Wire.EVENTS: "pings bad-event untyped byte-by-byte",
    Wire.CODES: (
        "429-quota 503-loading 404-model 400-model 400-context 413-context 400-capability 400-policy 403-policy "
        "error-in-200-code role-then-rate-limit"
    ),
    Wire.STREAM_ERRORS: "error-first role-then-error role-then-rate-limit error-midway",
    Wire.PREAMBLE: "endless-preamble",
    Wire.FINISH: "no-finish no-finish-done cut-unframed",
    Wire.DONE: "role-then-done no-finish-done no-done",
    Wire.TOOL_DELTAS: "tool-call-cut",
    Wire.PLAIN: "cut-chunked",
}


def _with_needs(fault: Fault) -> Fault:
    return evolve(fault, needs=frozenset(wire for wire, names in _NEEDS.items() if fault.name in names.split()))


FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: _with_needs(fault)
    for family in (_connections, _statuses, _refusals, _answers, _streams)
    for fault in family()
}
"""All faults by name."""
