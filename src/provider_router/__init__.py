"""One door to several LLM backends: `Router` asks them in priority order and understands how each one fails."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provider_router.chat import ChatChunk, ChatRequest, ChatResponse, assistant, image, system, tool, user
    from provider_router.configuration.admin import Admin
    from provider_router.errors import (
        AuthenticationFailed,
        ConfigError,
        DeadlineExceeded,
        NoCandidates,
        ProviderError,
        ProviderRouterError,
        RateLimited,
        StoreError,
        StreamInterrupted,
    )
    from provider_router.history import History
    from provider_router.limits import Limits
    from provider_router.routing.router import AsyncRouter
    from provider_router.routing.sync import Router

_HOMES = {
    "Admin": ".configuration.admin",
    "AsyncRouter": ".routing.router",
    "AuthenticationFailed": ".errors",
    "ChatChunk": ".chat",
    "ChatRequest": ".chat",
    "ChatResponse": ".chat",
    "ConfigError": ".errors",
    "DeadlineExceeded": ".errors",
    "History": ".history",
    "Limits": ".limits",
    "NoCandidates": ".errors",
    "ProviderError": ".errors",
    "ProviderRouterError": ".errors",
    "RateLimited": ".errors",
    "Router": ".routing.sync",
    "StoreError": ".errors",
    "StreamInterrupted": ".errors",
    "assistant": ".chat",
    "image": ".chat",
    "system": ".chat",
    "tool": ".chat",
    "user": ".chat",
}

__all__ = [
    "Admin",
    "AsyncRouter",
    "AuthenticationFailed",
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "ConfigError",
    "DeadlineExceeded",
    "History",
    "Limits",
    "NoCandidates",
    "ProviderError",
    "ProviderRouterError",
    "RateLimited",
    "Router",
    "StoreError",
    "StreamInterrupted",
    "assistant",
    "image",
    "system",
    "tool",
    "user",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("provider-router")
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
