"""Values whose kind is kept beside their text, so that `"007"` stays a text and `"false"` is not False."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Kind: TypeAlias = Literal["text", "int", "float", "bool", "json", "reference"]


def kind_of(value: Json) -> Kind:
    """The kind under which a value comes back exactly as it is; text is `text`, never a reference."""
    # bool before int: True is an int to Python.
    match value:
        case str():
            return "text"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case _:
            return "json"


def value_text(value: Json, kind: Kind) -> str:
    """A value as text, by its kind. `read_value` gives the very same value back.

    Raises:
        TypeError: the value is not of this kind.
        ValueError: JSON has no such number (nan, inf).
    """
    natural = kind_of(value)
    if kind != natural and (kind, natural) != ("reference", "text") and kind != "json":
        raise TypeError(f"{type(value).__name__} is not {kind}")
    match kind:
        case "text" | "reference":
            return cast(str, value)
        case "bool":
            return "true" if value else "false"
        case "json":
            return json_text(value)
        case _:
            return repr(value)


def read_value(text: str, kind: Kind) -> Json:
    """A value from its text.

    Raises:
        ValueError: the text is none of this kind.
    """
    match kind:
        case "text" | "reference":
            return text
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            if text not in ("true", "false"):
                raise ValueError(f"{text!r} is neither true nor false")
            return text == "true"
        case "json":
            return cast(Json, json.loads(text))
        case _:
            raise ValueError(f"{kind!r} is no kind of value")


def json_text(value: Any) -> str:
    """JSON for a column.

    Raises:
        TypeError: it holds what JSON does not know.
        ValueError: JSON has no such number (nan, inf).
    """
    # ASCII, so that half a surrogate pair can be kept.
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> dict[object, object]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"JSON knows no {type(value).__name__}")
