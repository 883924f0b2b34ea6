"""Model lists: what the backends of many providers list, all asked at once; one that is dead stops nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from provider_router.errors import ProviderRouterError, ProviderTimeout
from provider_router.providers.provider import ModelInfo
from provider_router.routing.router import AsyncRouter

LONGEST_LIST: Final = 20.0
"""How long a list may take, in seconds."""

_AT_ONCE: Final = 16


@frozen(kw_only=True)
class ModelList:
    """What a provider's backend lists, or why it lists nothing. `duration` is in seconds."""

    provider: str
    models: tuple[ModelInfo, ...] = ()
    error: ProviderRouterError | None = None
    duration: float = 0.0


async def list_models(
    providers: Iterable[str] | None = None,
    *,
    database: str | Path | None = None,
    longest: float = LONGEST_LIST,
    told: Callable[[ModelList], None] = lambda listed: None,
) -> list[ModelList]:
    """Ask providers for their models.

    Args:
        providers: their ids; every enabled one unless given.
        database: the configuration's file.
        longest: for one list, in seconds.
        told: called with each list as it comes.

    Returns:
        The lists in the order of the providers.

    Raises:
        UnknownProvider: there is no such provider.
    """
    found: dict[str, ModelList] = {}
    async with AsyncRouter(database, share_health=False) as router:
        if providers is None:
            names = [health.provider for health in await router.health() if health.state != "disabled"]
        else:
            names = list(providers)
            await router.registry.refresh()
            for name in set(names).difference(router.registry):
                router.registry.get(name)  # which says that there is none of this id
        room = anyio.CapacityLimiter(_AT_ONCE)

        async def ask(name: str) -> None:
            begun = time.monotonic()
            models: list[ModelInfo] = []
            error: ProviderRouterError | None = None
            async with room:
                try:
                    with anyio.fail_after(longest):
                        models = await router.models(name)
                except TimeoutError:
                    error = ProviderTimeout(f"{name} listed no models in {longest:g} s", provider=name, detail="silent")
                except ProviderRouterError as caught:
                    error = caught
            found[name] = ModelList(provider=name, models=tuple(models), error=error, duration=time.monotonic() - begun)
            told(found[name])

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(ask, name)
    return [found[name] for name in names]
