"""Border: whether a request may go where it is going."""

from __future__ import annotations

from provider_router.errors import NotCapable
from provider_router.providers.terms import Terms
from provider_router.providers.zones import OUT_OF_ZONE, within, zone_of_address


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


def terms_within(zone: str | None, *, provider: str) -> Terms:
    """What holds for requests at an attempt's side, where the attempt itself stays within this zone."""
    return Terms() if zone is None else Terms(zone=zone, progress=Border(provider=provider, zone=zone))
