"""Keepers: all keepers as one. A secret is found wherever it is; new ones go to the one that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import evolve, frozen

from provider_router.errors import ConfigError, MissingSecret, ProviderRouterError
from provider_router.providers.secrets.keeper import Keeper, Kept, not_restorable
from provider_router.providers.secrets.secret import Secret


@frozen(kw_only=True)
class Moved:
    """What became of a secret on its way to another keeper; `problem` says why it stayed where it was."""

    kept: Kept
    source: str
    problem: str = ""


class Keepers(Keeper):
    """Several keepers as one.

    Args:
        keepers: those there are.
        chosen: the name of the one that takes new secrets, asked whenever one is put.
    """

    def __init__(self, keepers: Sequence[Keeper], *, chosen: Callable[[], str]) -> None:
        self._keepers = {keeper.name: keeper for keeper in keepers}
        self._chosen = chosen

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the keeper that takes new secrets."""
        return self._chosen()

    @property
    def place(self) -> str:  # type: ignore[override]
        """Where new secrets are kept."""
        return self.called(self.name).place

    def called(self, name: str) -> Keeper:
        """The keeper of this name.

        Raises:
            ConfigError: there is none.
        """
        if keeper := self._keepers.get(name):
            return keeper
        raise ConfigError(f"There is no keeper {name!r}: there are {', '.join(self._keepers)}.")

    def holder(self, id: str) -> Keeper | None:
        """Who has a secret: if several (a move that was broken off), one that has it out of the bin.

        Raises:
            ConfigError: nobody has it, and one cannot be asked.
        """
        binned: Keeper | None = None
        for keeper, kept in self._having(id):
            if kept.purge_at is None:
                return keeper
            binned = binned or keeper
        return binned

    def ready(self) -> None:
        """See `Keeper`."""
        self.called(self.name).ready()

    def get(self, id: str, *, binned: bool = False) -> Secret:
        """See `Keeper`."""
        failed: ConfigError | None = None
        for keeper, _ in self._having(id):
            try:
                return keeper.get(id, binned=binned)
            except ConfigError as error:  # after a move that was broken off another one may have it
                failed = failed or error
        raise failed or MissingSecret(f"no keeper holds the secret {id}; give the value anew")

    def put(self, text: str, *, owner: str, id: str | None = None, purge_at: float | None = None) -> str:
        """See `Keeper`."""
        return self.called(self.name).put(text, owner=owner, id=id, purge_at=purge_at)

    def remove(self, id: str) -> None:
        """See `Keeper`."""
        for keeper, _ in self._having(id):
            keeper.remove(id)

    def forget(self, id: str) -> None:
        """See `Keeper`."""
        for keeper, _ in self._having(id):
            keeper.forget(id)

    def restore(self, id: str) -> None:
        """See `Keeper`."""
        holder = self.holder(id)
        if holder is None:
            raise not_restorable("any keeper", id)
        holder.restore(id)

    def list(self) -> tuple[Kept, ...]:
        """See `Keeper`."""
        return tuple(kept for _, kept in self.inventory())

    def inventory(self) -> tuple[tuple[str, Kept], ...]:
        """Every secret with the name of its keeper, those in the bin too."""
        return tuple((keeper.name, kept) for keeper in self._keepers.values() for kept in keeper.list())

    def find(self, id: str) -> Kept | None:
        """See `Keeper`."""
        holder = self.holder(id)
        return None if holder is None else holder.find(id)

    def purge(self) -> int:
        """See `Keeper`."""
        return sum(keeper.purge() for keeper in self._keepers.values())

    def warning(self) -> str | None:
        """See `Keeper`."""
        return next((warning for keeper in self._keepers.values() if (warning := keeper.warning())), None)

    def to_move(self, target: str, *, mine: Callable[[Kept], bool]) -> tuple[Moved, ...]:
        """What `move` would move.

        Raises:
            ConfigError: there is no such keeper.
        """
        shared = self.called(target).shared
        return tuple(
            Moved(kept=kept, source=name)
            for name, kept in self.inventory()
            if name != target and (shared or mine(kept))
        )

    def move(self, target: str, *, mine: Callable[[Kept], bool]) -> tuple[Moved, ...]:
        """Give every secret, those in the bin too, to one keeper. They keep their ids, so that references hold.

        Each is written, read back, and only then forgotten where it was: whenever this is broken off, every secret is
        still with one of the two, or with both; moving again goes on from there.

        Args:
            target: the keeper's name.
            mine: whether a secret is of this configuration; what is of others goes to a keeper that they share only.

        Returns:
            What was moved, and with a problem what was not.

        Raises:
            ConfigError: there is no such keeper, or it can take nothing.
        """
        self.called(target).ready()
        return tuple(self._move(one, self.called(target)) for one in self.to_move(target, mine=mine))

    def _move(self, one: Moved, target: Keeper) -> Moved:
        source, kept = self.called(one.source), one.kept
        try:
            secret = source.get(kept.id, binned=True)
            if not _gives(target, kept, secret):
                target.put(secret.reveal(), owner=kept.owner, id=kept.id, purge_at=kept.purge_at)
                if not _gives(target, kept, secret):
                    raise ConfigError(f"{target.place} gave something else back than it was given")
            source.forget(kept.id)
        except ProviderRouterError as error:
            return evolve(one, problem=str(error))
        return one

    def _having(self, id: str) -> Iterator[tuple[Keeper, Kept]]:
        """Those that have a secret, the chosen one first. One that cannot be asked counts only if nobody has it."""
        failed: ConfigError | None = None
        found = False
        for keeper in self._in_order():
            try:
                kept = keeper.find(id)
            except ConfigError as error:
                failed = failed or error
                continue
            if kept is not None:
                found = True
                yield keeper, kept
        if failed is not None and not found:
            raise failed

    def _in_order(self) -> Iterable[Keeper]:
        chosen = self._keepers.get(self.name)
        return sorted(self._keepers.values(), key=lambda keeper: keeper is not chosen)


def _gives(keeper: Keeper, kept: Kept, secret: Secret) -> bool:
    try:
        return keeper.get(kept.id, binned=kept.purge_at is not None) == secret
    except MissingSecret:
        return False
