"""Durations as they are kept: integer milliseconds, and text where an integer could be taken for seconds."""

from __future__ import annotations

from provider_router.limits import duration_ms


def kept_duration(seconds: float) -> int | str:
    """`30.0` → `30000`, `0.5` → `"500ms"`: what is kept has to be readable by `parse_duration` again."""
    milliseconds = max(1, duration_ms(seconds))
    return milliseconds if milliseconds >= 1000 else f"{milliseconds}ms"
