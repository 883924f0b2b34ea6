"""Any of the library's values as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from typing import Any

import attrs


def jsonable(value: object) -> Any:
    """Records as objects of their fields, times in ISO 8601, sets in order, anything else as text."""
    cls = type(value)
    if attrs.has(cls):
        names = [field.name for field in attrs.fields(cls) if not field.name.startswith("_")]
        return {name: jsonable(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(jsonable(item) for item in value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    assert isinstance(value, PurePath), f"{type(value)} has no JSON"
    return str(value)
