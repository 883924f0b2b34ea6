"""Watch: what one attempt tells while it runs, on its way to the machine and to whoever waits."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from provider_router.errors import NotCapable, ProviderRouterError
from provider_router.providers.zones import within, zone_of_address
from provider_router.routing.failover import Failover

Clock = Callable[[], float]


class Watch:
    """The progress of one attempt: tells the machine, and moves the deadline of the step that waits for it."""

    def __init__(self, machine: Failover, clock: Clock, *, provider: str, zone: str | None) -> None:
        self.verdict: ProviderRouterError | None = None
        self.scope: anyio.CancelScope | None = None
        self.out = anyio.Event()  # the request is out
        self._machine = machine
        self._clock = clock
        self._provider = provider
        self._zone = zone

    def connected(self, address: str | None) -> None:
        if self._zone is not None and address is not None:
            try:
                zone = zone_of_address(address)
            except ValueError:
                zone = "internet"
            if not within(zone, self._zone):
                # No failure of the backend: nothing is held against it for other requests.
                raise NotCapable(
                    f"{self._provider} lies in the zone {zone}, and the request stays within {self._zone}",
                    provider=self._provider,
                    detail=f"in the zone {zone}",
                )

    def sent(self) -> None:
        self._machine.sent(self._clock())
        self.out.set()

    def head(self) -> None:
        self.arrived()

    def arrived(self) -> None:
        now = self._clock()
        self._machine.life(now)
        if self.scope is not None:
            self.scope.deadline = anyio.current_time() + self._machine.deadline() - now
