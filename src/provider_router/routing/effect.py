"""Effect: what a failure does to the health of who failed."""

from __future__ import annotations

from enum import Enum, auto


class Effect(Enum):
    """What a failure does to health. `routing/table.py` says which failure has which effect."""

    NONE = auto()
    ENDPOINT_DOWN = auto()
    ENDPOINT_FAULT = auto()
    MODEL_FAULT = auto()
    MODEL_MISSING = auto()
    THROTTLE = auto()
    QUOTA = auto()
    AUTH = auto()
    CRASH = auto()
    BUSY = auto()
