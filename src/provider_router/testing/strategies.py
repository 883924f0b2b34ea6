"""Hypothesis strategies: texts, messages, tools, requests, and chunks, as callers and backends send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from provider_router.plugin import ChatChunk, ChatRequest

WEATHER: Final[Mapping[str, Any]] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
"""A tool, as a request declares it."""

few: Final = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
"""Few examples and always the same: each one asks a real server."""

_NAMES: Final = st.from_regex(r"[a-z][a-z0-9_]{0,14}", fullmatch=True)
_LETTERS: Final = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))


def texts(*, max_size: int = 60) -> st.SearchStrategy[str]:
    """Texts of any script, with line breaks and what JSON, SSE and XML have to escape; never blank at either end."""
    tricky = st.sampled_from(["\n", "\u2028", '"', "\\", "<b>", "&amp;", "data: ", "[DONE]", "}{", "\u200d", "🦩"])
    pieces = st.lists(st.one_of(tricky, st.text(_LETTERS, max_size=12)), min_size=1, max_size=8)
    return pieces.map(lambda parts: "".join(parts)[:max_size].strip() or "pelican")


def tools() -> st.SearchStrategy[dict[str, Any]]:
    """Function tools with a JSON schema of their parameters."""
    kinds = st.sampled_from(["string", "integer", "number", "boolean", "array", "object"])
    return st.builds(_tool, _NAMES, texts(max_size=30), st.dictionaries(_NAMES, kinds, max_size=4))


def _tool(name: str, description: str, properties: Mapping[str, str]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": sorted(properties)[:1],
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def messages() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Conversations: a system message or none, turns of user and assistant, a user's message last."""
    said = texts()
    system = st.lists(said.map(lambda text: {"role": "system", "content": text}), max_size=1)
    turn = st.tuples(said, said).map(
        lambda pair: [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    )
    last = said.map(lambda text: [{"role": "user", "content": text}])
    return st.builds(
        lambda first, turns, end: [*first, *(message for turn in turns for message in turn), *end],
        system,
        st.lists(turn, max_size=3),
        last,
    )


def requests() -> st.SearchStrategy[ChatRequest]:
    """Chat requests with a model, tools or none, and fields that are known or not."""
    known = st.fixed_dictionaries(
        {}, optional={"temperature": st.floats(0, 2), "max_tokens": st.integers(1, 4096), "seed": st.integers(0, 99)}
    )
    unknown = st.dictionaries(_NAMES.map(lambda name: f"x_{name}"), st.integers() | texts(max_size=10), max_size=2)
    offered = st.lists(tools(), max_size=2, unique_by=lambda tool: tool["function"]["name"])
    return st.builds(_request, messages(), known, unknown, offered)


def _request(
    said: list[dict[str, Any]], known: dict[str, Any], unknown: dict[str, Any], offered: list[dict[str, Any]]
) -> ChatRequest:
    return ChatRequest.of(said, model="small-model", fields={**known, "tools": offered or None}, extra_body=unknown)


def chunks() -> st.SearchStrategy[list[ChatChunk]]:
    """The chunks of a whole stream: a role, texts, a reason for the end."""
    said = st.lists(texts(max_size=12).map(ChatChunk.of), max_size=6)
    return said.map(lambda parts: [ChatChunk.of(role="assistant"), *parts, ChatChunk.of(finish_reason="stop")])
