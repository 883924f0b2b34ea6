"""Durations as they are kept: integer milliseconds, and text where an integer could be taken for seconds."""

from __future__ import annotations

from provider_router.limits import duration_ms


def kept_duration(seconds: float) -> int | str:
    """`30.0` → `30000`, `0.5` → `"500ms"`: what is kept has to be readable by `parse_duration` again."""
    milliseconds = max(1, duration_ms(seconds))
    return milliseconds if milliseconds >= 1000 else f"{milliseconds}ms"


def shown_duration(kept: object) -> object:
    """A duration that is kept, as a person writes it: `30000` → `"30s"`, `1500` → `"1500ms"`; all else as it is."""
    if isinstance(kept, bool) or not isinstance(kept, int):
        return kept
    return f"{kept}ms" if kept % 1000 else f"{kept // 1000}s"
