"""Checks: asking backends whether they live, beside and before calls, one at a time for each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from attrs import define, field

from provider_router.errors import ConnectionLost, ProviderError, ProviderTimeout, Unreachable
from provider_router.providers.provider import Provider
from provider_router.providers.zones import OUT_OF_ZONE


@define(eq=False)
class _Running:
    over: anyio.Event = field(factory=anyio.Event)
    answered: bool | None = None


class Checks:
    """The checks that run at present. A hundred silent calls at one endpoint make one check, not a hundred.

    Args:
        after: what is done after a good check beside a call, in what is left of its time.
    """

    def __init__(self, after: Callable[[Provider], Awaitable[None]]) -> None:
        self._after = after
        self._running: dict[str, _Running] = {}

    async def beside(self, provider: Provider, seconds: float) -> bool | None:
        """Whether a backend lives: True if it answers, False if there is nobody to answer, None if it is silent."""
        running = self._running.get(provider.endpoint)
        if running is not None:
            with anyio.move_on_after(seconds):
                await running.over.wait()
            return running.answered
        running = self._running[provider.endpoint] = _Running()
        try:
            with anyio.move_on_after(seconds):
                running.answered = await self._answers(provider)
                if running.answered:
                    await self._after(provider)
        finally:
            del self._running[provider.endpoint]
            running.over.set()
        return running.answered

    async def before(self, provider: Provider, seconds: float) -> None:
        """Make sure that a backend lives before a request is trusted to it.

        Raises:
            ProviderError: it is not there, or silent, or it lies outside the zone of the request.
        """
        with anyio.move_on_after(seconds):
            try:
                await provider.check()
            except (Unreachable, ConnectionLost, ProviderTimeout):
                raise
            except ProviderError as error:  # any answer at all is a sign of life
                if error.code == OUT_OF_ZONE:
                    raise
            return
        raise ProviderTimeout(f"{provider.id} does not answer its check", provider=provider.id, detail="dead")

    @staticmethod
    async def _answers(provider: Provider) -> bool | None:
        try:
            await provider.check()
        except (Unreachable, ConnectionLost):
            return False
        except ProviderTimeout:
            return None
        except ProviderError as error:
            return None if error.code == OUT_OF_ZONE else True  # it was not asked
        except Exception:  # any answer at all is a sign of life, and a fault of the plugin says nothing
            return True
        return True
