"""The model list of chat.qwen.ai."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provider_router.plugin import ModelInfo


def listed_models(body: Any) -> list[ModelInfo] | None:
    """From `{"data": [{"id", "info": {"is_active", "meta": {…}}}]}`, or with one more `data` around it (v2)."""
    data = body.get("data") if isinstance(body, Mapping) else body
    if isinstance(data, Mapping):
        data = data.get("data")
    if not isinstance(data, list):
        return None
    return [_model(item) for item in data if isinstance(item, Mapping) and item.get("id") and _active(item)]


def _info(item: Mapping[str, Any]) -> Mapping[str, Any]:
    info = item.get("info")
    return info if isinstance(info, Mapping) else {}


def _active(item: Mapping[str, Any]) -> bool:
    return _info(item).get("is_active") is not False


def _model(item: Mapping[str, Any]) -> ModelInfo:
    meta = _info(item).get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    length = meta.get("max_context_length")
    kinds = meta.get("chat_type")
    return ModelInfo(
        id=str(item["id"]),
        context_length=length if isinstance(length, int) and length > 0 else None,
        chat=not isinstance(kinds, list) or not kinds or "t2t" in kinds,
        raw=item,
    )
