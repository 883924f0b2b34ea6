"""Small good and misbehaving loopback backends, for the demo, the drill, our tests and those of plugin authors.

with Backend(answers("Hello")) as backend:
    ...  # ask backend.base_url
    backend.script(status(503), answers("Hello again"))
    backend.kill()
"""

from provider_router.backends.answer import Answer, ToolCall, answers, calls, echoes
from provider_router.backends.backend import EVERY_PATH, Backend
from provider_router.backends.faults import FAULTS, Fault
from provider_router.backends.misbehaviour import (
    broken,
    byte_by_byte,
    dead_when_reused,
    does,
    ended,
    endless_preamble,
    oversized,
    pings,
    says,
    silent,
    slow,
    status,
    streams,
)
from provider_router.backends.openai import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MODELS,
    Model,
    completes,
    embeds,
    lists,
)
from provider_router.backends.voice import ErrorWords, Voice, Wire
from provider_router.backends.wire import CLOSE, DONE, RESET, STALL, Pause, Reply, Request, Step, Until, event

__all__ = [
    "CHAT",
    "CLOSE",
    "COMPLETIONS",
    "DONE",
    "EMBEDDINGS",
    "EVERY_PATH",
    "FAULTS",
    "MODELS",
    "RESET",
    "STALL",
    "Answer",
    "Backend",
    "ErrorWords",
    "Fault",
    "Model",
    "Pause",
    "Reply",
    "Request",
    "Step",
    "ToolCall",
    "Until",
    "Voice",
    "Wire",
    "answers",
    "broken",
    "byte_by_byte",
    "calls",
    "completes",
    "dead_when_reused",
    "does",
    "echoes",
    "embeds",
    "ended",
    "endless_preamble",
    "event",
    "lists",
    "oversized",
    "pings",
    "says",
    "silent",
    "slow",
    "status",
    "streams",
]
