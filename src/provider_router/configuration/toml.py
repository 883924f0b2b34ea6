"""TOML as text: Python's library reads it and does not write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from provider_router.errors import ConfigError

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_TABLES_DEEP: Final = 4  # providers.desk.models.qwen3-max; what lies deeper is written in one line


def toml_text(content: Mapping[str, Any]) -> str:
    """A mapping of JSON's values as TOML.

    Raises:
        ConfigError: it holds null, which TOML does not know.
    """
    return "\n".join(_table((), content)).strip() + "\n"


def toml_key(*path: str) -> str:
    """`("providers", "desk", "models", "qwen/3")` → `providers.desk.models."qwen/3"`."""
    return ".".join(part if _BARE.fullmatch(part) else _text(part) for part in path)


def _table(path: tuple[str, ...], content: Mapping[str, Any]) -> Iterator[str]:
    tables = {key: value for key, value in content.items() if isinstance(value, Mapping) and len(path) < _TABLES_DEEP}
    # `config.headers` is one value; only the names of things make tables.
    if len(path) == 3 and path[2] != "models":
        tables = {}
    lines = [f"{toml_key(key)} = {_value((*path, key), value)}" for key, value in content.items() if key not in tables]
    if path and (lines or not tables):
        yield f"[{toml_key(*path)}]"
    yield from lines
    if lines or (path and not tables):
        yield ""
    for key, value in tables.items():
        yield from _table((*path, key), value)


def _value(path: tuple[str, ...], value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int() | float():
            return repr(value)
        case Mapping():
            inner = ", ".join(f"{toml_key(str(key))} = {_value((*path, str(key)), one)}" for key, one in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return f"[{', '.join(_value(path, one) for one in value)}]"
    raise ConfigError(f"{toml_key(*path)} holds null, which TOML does not know: write JSON in its place.")


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL; and TOML knows no half of a surrogate pair.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
