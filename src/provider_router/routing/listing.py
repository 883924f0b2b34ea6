"""Listing: what backends' model lists tell: the first model, and how many calls they serve at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import anyio

from provider_router import limits as numbers
from provider_router.chat import Capability
from provider_router.errors import Failure, ProviderError
from provider_router.providers.provider import ModelInfo, Provider
from provider_router.providers.terms import under
from provider_router.providers.zones import OUT_OF_ZONE
from provider_router.routing.border import terms_within
from provider_router.routing.live import LiveProvider
from provider_router.routing.snapshot import ProviderView

log: Final = logging.getLogger("provider_router")

# How a backend that has no model list answers when it is asked for one.
_LISTS_NONE = frozenset({Failure.BAD_REQUEST, Failure.CAPABILITY, Failure.MODEL_UNAVAILABLE, Failure.MALFORMED})


class _Registry(Protocol):
    """The registry, as far as it is asked here."""

    def live(self, id: str) -> LiveProvider | None: ...
    def view(self, id: str) -> ProviderView | None: ...
    def take(self, id: str) -> LiveProvider: ...
    async def give_back(self, live: LiveProvider) -> None: ...
    def bound(self, view: ProviderView, slots: int) -> None: ...


class Listing:
    """What the backends of a registry list."""

    def __init__(self, registry: _Registry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock

    async def first_model(self, live: LiveProvider) -> str | None:
        """The first chat model that the backend lists, remembered for a minute; None where it lists none.

        Raises:
            ProviderError: the backend cannot be asked.
        """
        now = self._clock()
        if live.listed_at is None or now - live.listed_at >= numbers.MODEL_LIST_CACHE:
            if Capability.MODELS not in live.provider.capabilities:
                return None
            try:
                listed = await live.provider.models()
            except ProviderError as error:
                if error.failure not in _LISTS_NONE or error.code == OUT_OF_ZONE:
                    raise
                listed = []
            live.first_model = next((model.id for model in listed if model.chat), None)
            live.listed_at = now
            self.take_slots(live, listed)
        return live.first_model

    async def first_models(self, zones: Mapping[str, str | None]) -> dict[str, str]:
        """The first model of each of these providers that is known, or told soon and for nothing by its backend.

        Args:
            zones: how far asking each of them may go, by provider.
        """
        found: dict[str, str] = {}

        async def ask(provider: str) -> None:
            live = self._registry.take(provider)
            try:
                within = terms_within(zones[provider], provider=provider)
                with under(within), anyio.move_on_after(numbers.CHECK_SILENCE):
                    if (model := await self.first_model(live)) is not None:
                        found[provider] = model
            except ProviderError:  # whoever asks it will hear of it
                pass
            finally:
                with anyio.CancelScope(shield=True):
                    await self._registry.give_back(live)

        async with anyio.create_task_group() as asking:
            for each in zones:
                if (live := self._registry.live(each)) is not None and live.provider.free_check:
                    asking.start_soon(ask, each)
        return found

    def take_slots(self, live: LiveProvider, listed: Sequence[ModelInfo]) -> None:
        """A backend that says how many calls it serves at once is sent no more, unless somebody configured it."""
        reported = max((model.parallel for model in listed if model.parallel), default=None)
        view = self._registry.view(live.provider.id)
        if reported is None or view is None or view.max_parallel is not None or live.retired:
            return
        self._registry.bound(view, reported)

    async def learn_slots(self, provider: Provider) -> None:
        """Ask a backend nearby, once, how many calls it serves at once: after a check, so never on a request's way."""
        live, view = self._registry.live(provider.id), self._registry.view(provider.id)
        if live is None or live.provider is not provider or live.slots_asked or view is None:
            return
        live.slots_asked = True
        if view.max_parallel is None and view.zone != "internet" and Capability.MODELS in provider.capabilities:
            try:
                self.take_slots(live, await provider.models())
            except Exception as error:  # it answers checks, and that is enough
                log.info("%s does not tell how many calls it serves at once: %s", provider.id, error)
