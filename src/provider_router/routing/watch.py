"""Watch: what one attempt tells while it runs, and whether it may go where it is going."""

from __future__ import annotations

from provider_router.routing.border import Border
from provider_router.routing.failover import Failover
from provider_router.routing.vigil import Clock, Vigil


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
