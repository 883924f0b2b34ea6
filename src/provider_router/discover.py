"""Finding backends: what runs at an address, and what runs at the usual addresses of this machine."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Final
from urllib.parse import urlsplit

import anyio
from attrs import frozen

from provider_router.errors import ConfigError, Failure, InvalidConfig, ProviderError, ProviderRouterError
from provider_router.providers.plugins import Plugins
from provider_router.providers.provider import ModelInfo, Provider
from provider_router.providers.zones import zone_of_host

LONGEST_LOOK: Final = 8.0  # seconds
_ID_LENGTH: Final = 63


@frozen(kw_only=True)
class Found:
    """A backend that a provider type has recognised.

    Attributes:
        type: the provider type.
        label: the type's name for people.
        config: options for a provider of this type.
        models: what it lists.
        error: why it lists nothing.
    """

    type: str
    label: str
    config: Mapping[str, object]
    models: tuple[ModelInfo, ...] = ()
    error: ProviderRouterError | None = None

    @property
    def address(self) -> str:
        return str(self.config.get("baseURL", ""))

    @property
    def wants_key(self) -> bool:
        return isinstance(self.error, ProviderError) and self.error.failure is Failure.AUTH

    def suggested_id(self, taken: Container[str] = ()) -> str:
        """An id that is free: `lm-studio`, or with its host where that is another machine, and a number if need be."""
        host = urlsplit(self.address).hostname or ""
        stem = self.type if zone_of_host(host) == "loopback" else f"{self.type}-{host}"
        stem = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[: _ID_LENGTH - 4]
        return next(name for name in (stem, *(f"{stem}-{number}" for number in range(2, 1000))) if name not in taken)


async def recognise(address: str, plugins: Plugins, *, longest: float = LONGEST_LOOK) -> Found | None:
    """What runs at an address, asked of every type at once.

    Args:
        address: of the API or of the host alone; without a scheme `http://` is meant.
        plugins: the types.
        longest: for one type's look, in seconds, whatever a plugin does.

    Returns:
        The backend with its models, or None where no type recognises anything. Where several do, the one that is not
        generic.

    Raises:
        InvalidConfig: it is no address.
    """
    given = address = address.strip()
    if "://" not in address:
        address = f"http://{address}"
    found: dict[str, Mapping[str, object]] = {}
    refused: list[InvalidConfig] = []

    async def look(cls: type[Provider]) -> None:
        try:
            with anyio.move_on_after(longest):
                config = await cls.recognise(address)
                if config is not None:
                    found[cls.type] = config
        except InvalidConfig as error:
            refused.append(error)
        except Exception:  # a type that fails at looking has not recognised anything, and the others have their say
            pass

    async with anyio.create_task_group() as tasks:
        for cls in plugins.types.values():
            tasks.start_soon(look, cls)
    if not found:
        if refused:
            raise InvalidConfig(f"{given} is no address of a backend:", refused[0].problems)
        return None
    best = min(found, key=lambda name: (plugins.types[name].generic, name))
    models, error = await _listed(plugins, best, found[best])
    return Found(type=best, label=plugins.types[best].label, config=found[best], models=models, error=error)


def usual_addresses(plugins: Plugins) -> list[str]:
    """Where backends listen by default, of every type that can tell its own."""
    types = [cls for cls in plugins.types.values() if cls.recognise.__func__ is not Provider.recognise.__func__]  # type: ignore[attr-defined]
    return list(dict.fromkeys(url for cls in types for url in cls.default_urls))


async def look_around(plugins: Plugins) -> list[Found]:
    """What runs at the usual addresses of every type on this machine, all asked at once."""
    urls = usual_addresses(plugins)
    found: dict[str, Found] = {}

    async def look(url: str) -> None:
        if zone_of_host(urlsplit(url).hostname or "") == "loopback" and (backend := await recognise(url, plugins)):
            found[url] = backend

    async with anyio.create_task_group() as tasks:
        for url in urls:
            tasks.start_soon(look, url)
    return [found[url] for url in urls if url in found]


async def _listed(
    plugins: Plugins, type: str, config: Mapping[str, object]
) -> tuple[tuple[ModelInfo, ...], ProviderRouterError | None]:
    try:
        provider = plugins.create(type, type, config)
    except ConfigError as error:
        return (), error
    try:
        with anyio.fail_after(LONGEST_LOOK):
            return tuple(await provider.models()), None
    except TimeoutError:
        return (), ProviderError(f"{type} listed no models in time", provider=type, detail="silent")
    except ProviderRouterError as error:
        return (), error
    finally:
        await provider.aclose()
