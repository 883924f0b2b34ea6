"""ProviderRegistry: from records to live providers, renewed when the configuration has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from attrs import define, evolve

from provider_router import home
from provider_router import limits as numbers
from provider_router.chat import Capability
from provider_router.errors import ConfigError, Failure, ProviderError, UnknownProvider
from provider_router.providers.provider import Provider
from provider_router.routing.checks import Checks
from provider_router.routing.health import Health
from provider_router.routing.hints import Note
from provider_router.routing.note_exchange import NoteExchange
from provider_router.routing.snapshot import ProviderView, Snapshot
from provider_router.routing.views import (
    environment_values,
    link_view,
    model_view,
    provider_view,
    routing_settings,
    routing_values,
)

if TYPE_CHECKING:
    from provider_router.providers.plugins import Plugins
    from provider_router.store import Configuration, LinkRecord, Probe, ProviderRecord, Store

ACTIVE_PROVIDER = "active_provider"

# How a backend that has no model list answers when it is asked for one.
_LISTS_NONE = frozenset({Failure.BAD_REQUEST, Failure.CAPABILITY, Failure.MODEL_UNAVAILABLE, Failure.MALFORMED})


@define(eq=False)
class LiveProvider:
    """A provider in use: how many calls hold it, and whether its configuration is of the past."""

    provider: Provider
    users: int = 0
    retired: bool = False
    first_model: str | None = None
    listed_at: float | None = None


class ProviderRegistry:
    """The live providers, and the snapshot that plans are made from.

    Made from a database, it follows every change of it; made from providers, it is what it was given.
    """

    def __init__(
        self,
        *,
        providers: Sequence[Provider] | None = None,
        database: Path | None = None,
        plugins: Plugins | None = None,
        health: Health | None = None,
        share_health: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.health = health or Health()
        self.checks = Checks()
        self._notes: NoteExchange | None = None
        self._share_health = share_health
        self._heard: tuple[Note, ...] = ()
        self._told = 0
        self._database = database
        self._plugins = plugins
        self._clock = clock
        self._live: dict[str, LiveProvider] = {}
        self._views: dict[str, ProviderView] = {}
        self._retired: list[LiveProvider] = []
        self._store: Store | None = None
        self._probe: Probe | None = None
        self._held: Configuration | None = None
        self._renewing = anyio.Lock()
        self._given = providers is not None
        self.snapshot = Snapshot()
        for position, provider in enumerate(providers or ()):
            if provider.id in self._live:
                raise ConfigError(f"two providers are called {provider.id!r}; an id must be the only one of its kind")
            self._put(provider, priority=len(providers or ()) - position)
        self._publish()

    # Following the configuration

    async def refresh(self) -> Snapshot:
        """The snapshot of this moment. Costs microseconds unless somebody changed the configuration.

        Raises:
            StoreError: the database cannot be opened. Once one was read, it stays in use whatever befalls the file.
        """
        if self._database is None:
            return self.snapshot
        self._hear()
        if not self._moved():
            return self.snapshot
        async with self._renewing:
            if self._moved():
                configuration = await anyio.to_thread.run_sync(self._read)
                if configuration is not None:
                    await anyio.to_thread.run_sync(self._renew, configuration)
        await self._close_retired()
        return self.snapshot

    async def load(self) -> Snapshot:
        """Read the whole configuration anew."""
        self._held = None
        return await self.refresh()

    async def reload(self, id: str) -> None:
        """Make one provider anew from its records: new connections, its secrets read again.

        Raises:
            UnknownProvider: no provider has this id.
        """
        await self.refresh()
        if self._held is None or id not in self._held.providers:
            raise UnknownProvider(f"no provider is called {id!r}")
        self._make(self._held, id)
        self._publish()
        await self._close_retired()

    def _hear(self) -> None:
        """Take in what other processes know of the providers' health."""
        if self._notes is not None and self._notes.heard is not self._heard:
            self._heard = self._notes.heard
            shift = self._clock() - time.time()
            self.health.hear([evolve(note, until=note.until + shift, at=note.at + shift) for note in self._heard])

    def tell(self) -> None:
        """Let other processes hear what has changed here; costs nothing if nothing has."""
        if self._notes is not None and self.health.changes != self._told:
            self._told = self.health.changes
            now = self._clock()
            shift = time.time() - now
            self._notes.tell(tuple(evolve(n, until=n.until + shift, at=n.at + shift) for n in self.health.notes(now)))

    def _moved(self) -> bool:
        if self._held is None or self._probe is None:
            return True
        return self._probe.moved(self._held)

    def _read(self) -> Configuration | None:
        from provider_router.store import Probe, Store

        assert self._database is not None
        if self._store is None:
            if not self._database.exists():
                return None
            self._store = Store.open(self._database)
            self._probe = Probe(self._database)
            if self._share_health:
                self._notes = NoteExchange(home.history_path(self._database))
                self._notes.start()
        return self._store.read(self._held)

    def _renew(self, configuration: Configuration) -> None:
        before, self._held = self._held, configuration
        renewed = configuration.renewed
        if (
            before is None
            or renewed is None
            or before.settings != configuration.settings
            or before.credentials != configuration.credentials
        ):
            renewed = frozenset(self._views) | frozenset(configuration.providers)
        for each in renewed:
            self._make(configuration, each)
        self._publish()

    def _make(self, configuration: Configuration, id: str) -> None:
        """One provider from its records; what cannot be made is kept as a problem that the plan tells."""
        self._retire(id)
        record = configuration.providers.get(id)
        if record is None:
            self._views.pop(id, None)
            return
        links = configuration.links.get(id, ())
        try:
            provider = self._create(record, {o.key: o.value for o in configuration.options.get(id, ())})
        except ConfigError as error:
            problem = getattr(error, "problems", ()) or (str(error).splitlines()[0],)
            self._views[id] = ProviderView(
                id=id,
                type=record.type,
                enabled=record.enabled,
                priority=record.priority,
                endpoint=id,
                takes_any_model=not links,
                problem="; ".join(problem),
                links={link.model_id: link_view(link, frozenset()) for link in links},
            )
            return
        self._put(provider, record=record, links=links, settings=routing_values(configuration))

    def _create(self, record: ProviderRecord, options: Mapping[str, object]) -> Provider:
        from provider_router.providers.plugins import Plugins
        from provider_router.providers.secrets import FileKeeper, resolve

        if self._plugins is None:
            self._plugins = Plugins.load()
        keeper = FileKeeper(home.secrets_path())
        return self._plugins.create(
            record.type, record.id, options, resolve=lambda reference: resolve(reference, keeper=keeper)
        )

    def _put(
        self,
        provider: Provider,
        *,
        record: ProviderRecord | None = None,
        links: Sequence[LinkRecord] = (),
        settings: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> None:
        self._retire(provider.id)
        live = self._live[provider.id] = LiveProvider(provider)
        self._views[provider.id] = provider_view(live.provider, record, links, settings or {}, priority)
        self.health.forgive(provider.id, provider.endpoint, self._clock())

    def _publish(self) -> None:
        configuration = self._held
        active = configuration.settings.get(ACTIVE_PROVIDER) if configuration else None
        self.snapshot = Snapshot(
            revision=configuration.revision if configuration else 0,
            providers=tuple(self._views.values()),
            models={m.id: model_view(m) for m in configuration.models.values()} if configuration else {},
            active=str(active.value) if active and active.value else None,
            settings=routing_settings(routing_values(configuration) if configuration else environment_values()),
        )

    # Live providers

    def take(self, id: str) -> LiveProvider:
        """A provider for one call; it stays open until it is given back, even if it is replaced meanwhile.

        Raises:
            UnknownProvider: it is gone.
        """
        live = self._live.get(id)
        if live is None:
            raise UnknownProvider(f"the provider {id!r} was removed a moment ago")
        live.users += 1
        return live

    async def give_back(self, live: LiveProvider) -> None:
        """The call is over; a provider of the past is closed with its last call."""
        live.users -= 1
        self.tell()
        if live.retired and not live.users:
            await self._close_retired()

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
                if error.failure not in _LISTS_NONE:
                    raise
                listed = []
            live.first_model = next((model.id for model in listed if model.chat), None)
            live.listed_at = now
        return live.first_model

    def get(self, id: str) -> Provider:
        """The live provider with this id.

        Raises:
            UnknownProvider: there is none.
            ConfigError: there is one, but it cannot be made; the message says why.
        """
        live = self._live.get(id)
        if live is not None:
            return live.provider
        view = self._views.get(id)
        if view is not None:
            raise ConfigError(f"the provider {id!r} cannot be used: {view.problem}")
        known = ", ".join(sorted(self._views)) or "none yet: run `prouter add`"
        raise UnknownProvider(f"no provider is called {id!r}; there are {known}")

    def all(self) -> list[Provider]:
        return [live.provider for live in self._live.values()]

    def by_type(self, type: str) -> list[Provider]:
        return [provider for provider in self.all() if provider.type == type]

    def register(self, provider: Provider, *, priority: int = 0) -> None:
        """Add a provider, or replace the one with its id, for this process alone."""
        self._put(provider, priority=priority)
        self._publish()

    async def unregister(self, id: str) -> None:
        """Take a provider out, for this process alone; calls in flight end in peace.

        Raises:
            UnknownProvider: there is none.
        """
        self.get(id)
        self._retire(id)
        self._views.pop(id, None)
        self._publish()
        await self._close_retired()

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def _retire(self, id: str) -> None:
        live = self._live.pop(id, None)
        if live is not None:
            live.retired = True
            self._retired.append(live)

    async def _close_retired(self) -> None:
        idle = [live for live in self._retired if not live.users]
        self._retired = [live for live in self._retired if live.users]
        for live in idle:
            await live.provider.aclose()

    async def aclose(self) -> None:
        """Close every provider and the database. May be called twice; the next request opens both anew."""
        for live in [*self._live.values(), *self._retired]:
            await live.provider.aclose()
        self._retired.clear()
        self.close_store()

    def close_store(self) -> None:
        """Close the database alone."""
        if self._probe is not None:
            self._probe.close()
        if self._store is not None:
            self._store.close()
        if self._notes is not None:
            self._notes.close()
        self._probe = self._store = self._notes = None
