"""Dialect: what the Router must know of a wire format, as a value of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from attrs import frozen

from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse
from provider_router.dialects.failures import ErrorBody


class Sign(NamedTuple):
    """What one chunk says.

    Attributes:
        meaningful: it carries text, reasoning, a refusal, a tool call or audio.
        working: reasoning or a tool call is open, so that longer pauses are normal.
        finish: the finish reason, if this chunk brings one.
        error: the error inside, if it is one.
        choices: the index of each answer it speaks of (a request may want several), and whether it ends that one. A
            peek does not tell.
    """

    meaningful: bool = False
    working: bool = False
    finish: str | None = None
    error: ErrorBody | None = None
    choices: tuple[tuple[int, bool], ...] = ()


@frozen
class Dialect:
    """A wire format.

    Attributes:
        name: `openai-chat`.
        needs: what a request cannot do without.
        prompt_floor: the least number of tokens that its prompt can have.
        read: what a chunk says; raises ValueError for one that is broken.
        peek: the same after commit, for less: a chunk is decoded only where its bytes leave a doubt.
        assemble: a complete answer from the chunks of a stream.
    """

    name: str
    needs: Callable[[ChatRequest], frozenset[Capability]]
    prompt_floor: Callable[[ChatRequest], int]
    read: Callable[[ChatChunk], Sign]
    peek: Callable[[ChatChunk], Sign]
    assemble: Callable[[Iterable[ChatChunk]], ChatResponse]
