"""LM Studio's own lists of models, newest first: what is in memory, with which window, for how many at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from provider_router.plugin import Capability, ModelInfo

_CHAT = frozenset({Capability.CHAT, Capability.STREAMING, Capability.COMPLETION, Capability.JSON_SCHEMA})
_EMBEDDINGS = frozenset({Capability.EMBEDDINGS})


def is_own_list(body: object, key: str) -> TypeGuard[Mapping[str, Sequence[Mapping[str, Any]]]]:
    """Whether this is a list of LM Studio's own API; other servers' lists of models have no type beside the name."""
    listed = body.get(key) if isinstance(body, Mapping) else None
    name = "key" if key == "models" else "id"
    return isinstance(listed, list) and all(
        isinstance(item, Mapping) and isinstance(item.get(name), str) and "type" in item for item in listed
    )


def from_v1(item: Mapping[str, Any]) -> ModelInfo:
    """A model of `/api/v1/models` (0.4): `{"key", "type", "loaded_instances": [{"config": {"parallel": 4, …}}], …}`."""
    instances = item.get("loaded_instances") or ()
    configs = [instance.get("config") or {} for instance in instances]
    windows = [config["context_length"] for config in configs if config.get("context_length")]
    slots = [config["parallel"] for config in configs if config.get("parallel")]
    says = item.get("capabilities") or {}
    chat = item["type"] != "embedding"
    return ModelInfo(
        id=item["key"],
        context_length=max(windows, default=item.get("max_context_length")),
        loaded=bool(instances),
        parallel=sum(slots) or None,
        chat=chat,
        capabilities=_capabilities(chat=chat, tools=says.get("trained_for_tool_use"), vision=says.get("vision")),
        raw=item,
    )


def from_v0(item: Mapping[str, Any]) -> ModelInfo:
    """A model of `/api/v0/models` (0.3): `{"id", "type": "llm", "state": "loaded", "loaded_context_length", …}`."""
    chat = item["type"] != "embeddings"
    return ModelInfo(
        id=item["id"],
        context_length=item.get("loaded_context_length") or item.get("max_context_length"),
        loaded=item.get("state") == "loaded",
        chat=chat,
        capabilities=_capabilities(
            chat=chat, tools="tool_use" in (item.get("capabilities") or ()), vision=item["type"] == "vlm"
        ),
        raw=item,
    )


def _capabilities(*, chat: bool, tools: object, vision: object) -> frozenset[Capability]:
    if not chat:
        return _EMBEDDINGS
    return _CHAT | ({Capability.TOOLS} if tools else set()) | ({Capability.VISION} if vision else set())


LISTS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], ModelInfo]], ...] = (
    ("/api/v1/models", "models", from_v1),
    ("/api/v0/models", "data", from_v0),
)
"""Paths beside `/v1`, where the list stands in the answer, and how an item is read."""
