"""The list of models: chat.qwen.ai's own items, as the proxy hands them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provider_router.plugin import ModelInfo


def is_qwens_list(body: object) -> bool:
    """Whether this is a list of models that all belong to Qwen; servers that run such models call themselves owner."""
    listed = body.get("data") if isinstance(body, Mapping) else None
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(isinstance(item, Mapping) and str(item.get("owned_by")).lower() == "qwen" for item in listed)
    )


def with_window(info: ModelInfo, item: Mapping[str, Any]) -> ModelInfo:
    """A model with the window that chat.qwen.ai tells: `{"info": {"meta": {"max_context_length": …}}}`."""
    inner = item.get("info")
    meta = inner.get("meta") if isinstance(inner, Mapping) else None
    length = meta.get("max_context_length") if isinstance(meta, Mapping) else None
    if not isinstance(length, int):
        return info
    return ModelInfo(id=info.id, context_length=length, chat=info.chat, raw=item)
