"""Kinds of values that options and arguments can have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click


class Duration(click.ParamType[float]):
    """A duration with a unit; its value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """`30s` → 30.0."""
        from provider_router.limits import parse_duration

        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Zone(click.ParamType[str]):
    """How far a request may go."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """One of the zones that there are."""
        from provider_router.limits import ZONES

        if value not in ZONES:
            self.fail(f"{value!r} is not one of {', '.join(ZONES)}", param, ctx)
        return str(value)


class CapabilityName(click.ParamType[str]):
    """What a model can do."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """One of the capabilities that there are."""
        from provider_router.chat import Capability

        if value not in list(Capability):
            self.fail(f"{value!r} is not one of {', '.join(Capability)}", param, ctx)
        return str(value)


class Assignment(click.ParamType[tuple[str, str]]):
    """KEY=VALUE."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """`timeout=30s` → `("timeout", "30s")`."""
        if isinstance(value, tuple):
            return value
        key, cut, text = str(value).partition("=")
        if not cut or not key.strip():
            self.fail(f"{value!r} is no KEY=VALUE", param, ctx)
        return key.strip(), text


class Since(click.ParamType["int | datetime"]):
    """A change's number, an instant, or how long ago."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | datetime:
        """`12` → 12; `2026-01-31` and `2026-01-31T12:00` → that time here; `2h` → two hours ago."""
        if isinstance(value, int | datetime):
            return value
        if value.isdecimal():
            return int(value)
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            pass
        from provider_router.limits import parse_duration

        try:
            return datetime.now(UTC) - timedelta(seconds=parse_duration(value))
        except ValueError:
            self.fail(f"{value!r} is no number, no time such as 2026-01-31T12:00, and no span such as 2h", param, ctx)


DURATION = Duration()
ZONE = Zone()
CAPABILITY = CapabilityName()
ASSIGNMENT = Assignment()
SINCE = Since()
