"""Tools as LM Studio takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def normalised(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tools with every function described, its parameters an object, and no `strict`; other kinds as they are."""
    return [_function(tool) if tool.get("type") == "function" else tool for tool in tools]


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    changed = {name: value for name, value in function.items() if name != "strict"}
    changed["description"] = function.get("description") or f"Execute {function.get('name')} function"
    parameters = function.get("parameters") or {"properties": {}}
    if isinstance(parameters, Mapping):  # else let the server say what it thinks of it
        changed["parameters"] = {**parameters, "type": "object"}
    return {**tool, "function": changed}
