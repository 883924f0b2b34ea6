"""Keeper: who has the values of `secret:` references, and for how long a removed one can be restored."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from datetime import UTC, datetime
from typing import Final, Protocol

from attrs import frozen

from provider_router.errors import MissingSecret
from provider_router.providers.secrets.secret import Secret

BIN: Final = 7 * 24 * 3600.0  # seconds for which a removed secret can be restored


@frozen(kw_only=True)
class Kept:
    """What a keeper tells of a secret without its value.

    Attributes:
        owner: `provider/option`, as in `desk/apiKey` and `desk/headers.X-Key`; `credentials/token`.
        purge_at: seconds since 1970, set while it is in the bin: then it is forgotten for good.
    """

    id: str
    owner: str
    purge_at: float | None = None

    @property
    def until(self) -> datetime | None:
        """When it is forgotten for good, while it is in the bin."""
        return None if self.purge_at is None else datetime.fromtimestamp(self.purge_at, UTC)


def new_id() -> str:
    """An id that no keeper of anybody has, so that a secret can move to another keeper and keep it."""
    return secrets.token_hex(8)


class Keeper(Protocol):
    """Where the values of `secret:` references are. Threads and processes may use one at once.

    Every method raises `ConfigError`, or `StoreError` where a database keeps, if the keeper cannot be used.

    Attributes:
        name: as the setting `secrets.keeper` calls it.
        place: where the values are, for people.
        shared: whether every configuration of this user has the same one.
    """

    name: str
    place: str
    shared: bool = True

    @abstractmethod
    def ready(self) -> None:
        """See that it could take a secret now.

        Raises:
            ConfigError: it could not; the message says why and what to do.
        """

    @abstractmethod
    def get(self, id: str, *, binned: bool = False) -> Secret:
        """The secret; `binned`, also one in the bin.

        Raises:
            MissingSecret: there is none, or it was removed.
        """

    @abstractmethod
    def put(self, text: str, *, owner: str, id: str | None = None, purge_at: float | None = None) -> str:
        """Keep a secret and return its id: a new one, unless it comes with one from another keeper."""

    @abstractmethod
    def remove(self, id: str) -> None:
        """Put a secret into the bin, for seven days. Of one that is not there, nothing is said."""

    @abstractmethod
    def forget(self, id: str) -> None:
        """Remove a secret for good. Of one that is not there, nothing is said."""

    @abstractmethod
    def restore(self, id: str) -> None:
        """Take a secret out of the bin again.

        Raises:
            MissingSecret: it is not there any more.
        """

    @abstractmethod
    def list(self) -> tuple[Kept, ...]:
        """Every secret, those in the bin too."""

    @abstractmethod
    def purge(self) -> int:
        """Forget for good what has been in the bin for seven days, and return how many that were."""

    def warning(self) -> str | None:
        """What is to be said if others on this machine can read what it keeps."""
        return None

    def find(self, id: str) -> Kept | None:
        """What is known of a secret; None if there is none."""
        return next((kept for kept in self.list() if kept.id == id), None)

    def owner(self, id: str) -> str | None:
        """Whose it is, also while it is in the bin; None if there is no such secret."""
        kept = self.find(id)
        return None if kept is None else kept.owner

    def ids(self) -> tuple[str, ...]:
        """Every secret that is not in the bin."""
        return tuple(kept.id for kept in self.list() if kept.purge_at is None)


def not_kept(place: str, id: str, kept: Kept | None) -> MissingSecret:
    """The error of who asks for a secret that is not there, or in the bin."""
    if kept is None:
        return MissingSecret(f"{place} holds no secret {id}; give the value anew")
    return MissingSecret(
        f"{place} has in its bin the secret {id}; `prouter secrets restore {id}` takes it out, or give the value anew"
    )


def not_restorable(place: str, id: str) -> MissingSecret:
    """The error of who wants to restore a secret that is not there."""
    return MissingSecret(f"The secret {id} is not in the bin of {place} any more; give the value anew")
