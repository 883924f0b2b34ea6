"""Our errors for programs: a code, and what else is known."""

from __future__ import annotations

import re
from typing import Any

from provider_router.errors import ProviderError, ProviderRouterError

_DETAILS = ("problems", "provider", "model", "status", "retry_after", "attempts", "skipped")


def code_of(error: ProviderRouterError) -> str:
    """The failure class of routing (`rate_limit`), else the kind of error (`unknown_provider`)."""
    if isinstance(error, ProviderError):
        return str(error.failure)
    return re.sub(r"(?<!^)([A-Z])", r"_\1", type(error).__name__).lower()


def details_of(error: ProviderRouterError) -> dict[str, Any]:
    """What the error knows beside its message."""
    details = {name: getattr(error, name, None) for name in _DETAILS}
    return {name: value for name, value in details.items() if value not in (None, (), "")}


def record_of(error: ProviderRouterError) -> dict[str, Any]:
    """`{"code": …, "message": …}` with what else is known."""
    return {"code": code_of(error), "message": str(error), **details_of(error)}
