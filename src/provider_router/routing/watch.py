"""Watch: what one attempt tells while it runs; Border: whether it may go where it is going."""

from __future__ import annotations

from provider_router.errors import NotCapable
from provider_router.providers.zones import OUT_OF_ZONE, within, zone_of_address
from provider_router.routing.failover import Failover
from provider_router.routing.vigil import Clock, Vigil


class Border:
    """Lets no request out of its zone. It is all that a request at an attempt's side, such as a login, has to tell."""

    def __init__(self, *, provider: str, zone: str | None) -> None:
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
                    code=OUT_OF_ZONE,
                    detail=f"in the zone {zone}",
                )

    def sent(self) -> None: ...
    def head(self) -> None: ...
    def arrived(self) -> None: ...


class Watch(Border):
    """The progress of one attempt, as the HTTP door tells it: to the machine, and to the vigil that waits for it."""

    def __init__(self, machine: Failover, vigil: Vigil, clock: Clock, *, provider: str, zone: str | None) -> None:
        super().__init__(provider=provider, zone=zone)
        self._machine = machine
        self._vigil = vigil
        self._clock = clock

    def sent(self) -> None:
        self._machine.sent(self._clock())
        self._vigil.sent()

    def head(self) -> None:
        self._machine.life(self._clock())

    def arrived(self) -> None:
        self._machine.life(self._clock())
