"""ProviderRegistry: from records to live providers, renewed when the configuration has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
from attrs import define, evolve, frozen

from provider_router import home
from provider_router import limits as numbers
from provider_router.chat import Capability
from provider_router.errors import ConfigError, Failure, ProviderError, UnknownProvider
from provider_router.providers.provider import ModelInfo, Provider
from provider_router.routing.checks import Checks
from provider_router.routing.health import Health
from provider_router.routing.recovery import Recovery
from provider_router.routing.snapshot import ProviderView, Snapshot
from provider_router.routing.views import (
    broken_view,
    environment_values,
    model_view,
    provider_view,
    routing_settings,
    routing_values,
)

if TYPE_CHECKING:
    from provider_router.providers.plugins import Plugins
    from provider_router.providers.secrets import Keeper
    from provider_router.routing.note_exchange import HealthSharing
    from provider_router.store import Configuration, LinkRecord, Probe, ProviderRecord, Store

log: Final = logging.getLogger("provider_router")

ACTIVE_PROVIDER = "active_provider"

# How a backend that has no model list answers when it is asked for one.
_LISTS_NONE = frozenset({Failure.BAD_REQUEST, Failure.CAPABILITY, Failure.MODEL_UNAVAILABLE, Failure.MALFORMED})


@define(eq=False)
class LiveProvider:
    """A provider in use: how many calls hold it, and whether its configuration is of the past."""

    provider: Provider
    users: int = 0
    prepared: bool = False
    retired: bool = False
    first_model: str | None = None
    listed_at: float | None = None
    slots_asked: bool = False  # whether it was asked how many calls it serves at once


@frozen
class _Made:
    """What became of one provider: no view if it was removed, no provider if it cannot be made or stays as it is."""

    id: str
    view: ProviderView | None = None
    provider: Provider | None = None
    anew: bool = False


def _links(configuration: Configuration, id: str) -> tuple[LinkRecord, ...]:
    return configuration.links.get(id, ())


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
        self.checks = Checks(self.learn_slots)
        self._share_health = share_health
        self._sharing: HealthSharing | None = None
        self._database = database
        self._plugins = plugins
        self._clock = clock
        self._live: dict[str, LiveProvider] = {}
        self._views: dict[str, ProviderView] = {}
        self._retired: list[LiveProvider] = []
        self._store: Store | None = None
        self._keeper: Keeper | None = None
        self._probe: Probe | None = None
        self._held: Configuration | None = None
        self._renewing = anyio.Lock()
        self._recovery: Recovery[Configuration, _Made] = Recovery(clock)
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
        if self._moved():
            async with self._renewing:
                if self._moved() and (configuration := await anyio.to_thread.run_sync(self._read)) is not None:
                    made = await anyio.to_thread.run_sync(self._made_anew, configuration)
                    self._swap(configuration, made)
            await self._close_retired()
        if self._recovery:
            await self._recover()
        if self._sharing is not None:
            self._sharing.hear()
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
        made = await anyio.to_thread.run_sync(self._make, self._held, id, routing_values(self._held))
        self._swap(self._held, [made])
        await self._close_retired()

    async def _recover(self) -> None:
        """Make anew what lacked its secret, if it is time. Nobody waits for it who has somebody else to ask."""
        held = self._held
        if held is None:
            return
        if due := self._recovery.due():
            self._recovery.start(held, lambda: [self._make(held, each, routing_values(held)) for each in due])
            if not self._live:
                await anyio.to_thread.run_sync(self._recovery.wait, numbers.SECRET_WAIT)
        if self._held is held and (found := self._recovery.take(held)):
            self._swap(held, found, changed=False)

    def _moved(self) -> bool:
        if self._held is None or self._probe is None:
            return True
        return self._probe.moved(self._held)

    def _read(self) -> Configuration | None:
        from provider_router.routing.note_exchange import HealthSharing, NoteExchange
        from provider_router.store import Probe, Store, exists, open_keepers

        assert self._database is not None
        if self._store is None:
            if not exists(self._database):
                return None
            self._store = Store.open(self._database)
            self._keeper = open_keepers(self._store)
            self._probe = Probe(self._database)
            if self._share_health:
                exchange = NoteExchange(home.history_path(self._database))
                exchange.start()
                self._sharing = HealthSharing(self.health, exchange, self._clock)
        return self._store.read(self._held)

    def _made_anew(self, configuration: Configuration) -> list[_Made]:
        """What the change touched, made in a thread: secrets may come from commands, plugins have to be imported."""
        before = self._held
        values = routing_values(configuration)
        everything = sorted(set(self._views) | set(configuration.providers))
        if before is None or configuration.renewed is None or before.credentials != configuration.credentials:
            return [self._make(configuration, each, values) for each in everything]
        made = [self._make(configuration, each, values) for each in configuration.renewed]
        if before.settings != configuration.settings:  # bounds change, and nobody's connections
            made += [
                _Made(name, provider_view(live.provider, record, _links(configuration, name), values))
                for name, live in list(self._live.items())
                if name not in configuration.renewed and (record := configuration.providers.get(name)) is not None
            ]
        return made

    def _make(self, configuration: Configuration, id: str, values: Mapping[str, Any]) -> _Made:
        """One provider from its records; what cannot be made is kept as a problem that the plan tells."""
        record = configuration.providers.get(id)
        if record is None:
            return _Made(id)
        links = _links(configuration, id)
        try:
            provider = self._create(record, configuration)
        except ConfigError as error:
            return _Made(id, broken_view(record, links, error), anew=True)
        return _Made(id, provider_view(provider, record, links, values), provider, anew=True)

    def _swap(self, configuration: Configuration, made: Sequence[_Made], *, changed: bool = True) -> None:
        """Put what was made in force, in one step between two requests."""
        self._held = configuration
        for each in made:
            lacks = each.view is not None and each.view.lacks_secret and each.view.enabled
            self._recovery.note(each.id, lacks=lacks, anew=changed)
            if each.view is None or each.anew:
                known = self._retire(each.id)
                if each.provider is not None:
                    self._live[each.id] = LiveProvider(each.provider)
                    if known:
                        self.health.forgive(each.id, each.provider.endpoint, self._clock())
            if each.view is None:
                self._views.pop(each.id, None)
            else:
                self._views[each.id] = each.view
        self._publish()

    def _create(self, record: ProviderRecord, configuration: Configuration) -> Provider:
        from provider_router.configuration.lending import with_login
        from provider_router.providers.plugins import Plugins
        from provider_router.providers.secrets import resolve
        from provider_router.store import now

        if self._plugins is None:
            self._plugins = Plugins.load()
        own = {option.key: option.value for option in configuration.options.get(record.id, ())}
        options = with_login(self._plugins.get(record.type).Config, own, configuration.credentials, at=now())
        return self._plugins.create(
            record.type, record.id, options, resolve=lambda reference: resolve(reference, keeper=self._keeper)
        )

    def _put(self, provider: Provider, *, priority: int) -> None:
        """A provider that no database knows."""
        if self._retire(provider.id):
            self.health.forgive(provider.id, provider.endpoint, self._clock())
        self._live[provider.id] = LiveProvider(provider)
        self._views[provider.id] = provider_view(provider, None, (), {}, priority=priority)

    def _publish(self) -> None:
        configuration = self._held
        active = configuration.settings.get(ACTIVE_PROVIDER) if configuration else None
        self.snapshot = Snapshot(
            revision=configuration.revision if configuration else 0,
            providers=tuple(sorted(self._views.values(), key=lambda view: (-view.priority, view.id))),
            models={m.id: model_view(m) for m in configuration.models.values()} if configuration else {},
            active=str(active.value) if active and active.value else None,
            settings=routing_settings(routing_values(configuration) if configuration else environment_values()),
        )

    async def first_models(self, ids: Iterable[str]) -> dict[str, str]:
        """The first model of each of these providers that is known, or told soon and for nothing by its backend."""
        found: dict[str, str] = {}

        async def ask(provider: str) -> None:
            live = self.take(provider)
            try:
                with anyio.move_on_after(numbers.CHECK_SILENCE):
                    if (model := await self.first_model(live)) is not None:
                        found[provider] = model
            except ProviderError:  # whoever asks it will hear of it
                pass
            finally:
                with anyio.CancelScope(shield=True):
                    await self.give_back(live)

        async with anyio.create_task_group() as asking:
            for each in ids:
                if each in self._live and self._live[each].provider.free_check:
                    asking.start_soon(ask, each)
        return found

    # Live providers

    def prepare(self, id: str) -> None:
        """Load what a provider's first call would have to load, before anybody measures how long it takes."""
        live = self._live.get(id)
        if live is not None and not live.prepared:
            live.prepared = True
            live.provider.prepare()

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
        if self._sharing is not None:
            self._sharing.tell()
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
            self.take_slots(live, listed)
        return live.first_model

    def take_slots(self, live: LiveProvider, listed: Sequence[ModelInfo]) -> None:
        """A backend that says how many calls it serves at once is sent no more, unless somebody configured it."""
        reported = max((model.parallel for model in listed if model.parallel), default=None)
        view = self._views.get(live.provider.id)
        if reported is None or view is None or view.max_parallel is not None or live.retired:
            return
        self._views[view.id] = evolve(view, max_parallel=reported)
        self._publish()

    async def learn_slots(self, provider: Provider) -> None:
        """Ask a backend nearby, once, how many calls it serves at once: after a check, so never on a request's way."""
        live, view = self._live.get(provider.id), self._views.get(provider.id)
        if live is None or live.provider is not provider or live.slots_asked or view is None:
            return
        live.slots_asked = True
        if view.max_parallel is None and view.zone != "internet" and Capability.MODELS in provider.capabilities:
            try:
                self.take_slots(live, await provider.models())
            except Exception as error:  # it answers checks, and that is enough
                log.info("%s does not tell how many calls it serves at once: %s", provider.id, error)

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

    def _retire(self, id: str) -> bool:
        """Let a provider's calls end in peace; says whether it was known."""
        live = self._live.pop(id, None)
        if live is not None:
            live.retired = True
            self._retired.append(live)
        return id in self._views

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
        if self._sharing is not None:
            self._sharing.close()
        self._probe = self._store = self._sharing = None
