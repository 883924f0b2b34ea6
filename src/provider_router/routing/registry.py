"""ProviderRegistry: from records to live providers, renewed when the configuration has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
from attrs import evolve

from provider_router import limits as numbers
from provider_router.errors import ConfigError, StoreError, UnknownProvider
from provider_router.providers.provider import Provider
from provider_router.routing.checks import Checks
from provider_router.routing.health import Health
from provider_router.routing.listing import Listing
from provider_router.routing.live import LiveProvider
from provider_router.routing.maker import Made, Maker, as_it_was, links_of
from provider_router.routing.plan import Plan
from provider_router.routing.recovery import Recovery
from provider_router.routing.snapshot import ProviderView, Recording, Snapshot
from provider_router.routing.source import Source
from provider_router.routing.views import (
    environment_values,
    history_settings,
    provider_view,
    routing_values,
    snapshot_view,
)

if TYPE_CHECKING:
    from provider_router.providers.plugins import Plugins
    from provider_router.routing.history_writer import HistoryWriter
    from provider_router.store import Configuration

log: Final = logging.getLogger("provider_router")

_MASKED = 20  # providers whose secrets are looked for in what a request's history is to hold


class ProviderRegistry:
    """The live providers, and the snapshot that plans are made from.

    Made from a database, it follows every change of it; made from providers, it is what it was given.
    """

    def __init__(
        self,
        *,
        providers: Sequence[Provider] | None = None,
        database: Path | None = None,
        declared: Path | None = None,
        plugins: Plugins | None = None,
        health: Health | None = None,
        share_health: bool = True,
        history: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.health = health or Health()
        self.listing = Listing(self, clock)
        self.checks = Checks(self.listing.learn_slots)
        self.recorder: HistoryWriter | None = None  # None where requests are not recorded
        self._maker = Maker(plugins)
        self._source: Source | None = None
        if database is not None:
            self._source = Source(
                database,
                declared,
                maker=self._maker,
                health=self.health,
                share_health=share_health,
                history=history,
                clock=clock,
            )
        self._clock = clock
        self._live: dict[str, LiveProvider] = {}
        self._views: dict[str, ProviderView] = {}
        self._retired: list[LiveProvider] = []
        self._held: Configuration | None = None
        self._values: Mapping[str, Any] = {}  # the routing options of environment and settings
        self._begun = 0  # readings
        self.trouble = ""
        self._renewing = anyio.Lock()
        self._recovery: Recovery[Configuration, Made] = Recovery(clock)
        self.snapshot = Snapshot()
        for position, provider in enumerate(providers or ()):
            if provider.id in self._live:
                raise ConfigError(f"two providers are called {provider.id!r}; an id must be the only one of its kind")
            self._put(provider, priority=len(providers or ()) - position)
        self._publish()

    # Following the configuration

    async def refresh(self) -> Snapshot:
        """The snapshot of this moment. Costs microseconds unless somebody changed the configuration.

        What is then changed in a way that cannot be loaded stays as it was, and is told: by a view's `stale`, or, if
        it is more than one provider, by `trouble`.

        Raises:
            StoreError: the database cannot be opened, or read for the first time.
            ConfigError: the declarative file cannot be used, or a setting of the environment.
        """
        source = self._source
        if source is None:
            return self.snapshot
        if source.moved(self._held):
            begun = self._begun
            async with self._renewing:
                # Whoever waited while another one began to read after it had come is served by that reading: in a
                # storm of changes nobody waits for more than two.
                if self._begun == begun and source.moved(self._held):
                    self._begun += 1
                    await self._renew(source)
            await self.close_retired()
        if self._recovery:
            await self._recover()
        if source.sharing is not None:
            source.sharing.hear()
        return self.snapshot

    async def _renew(self, source: Source) -> None:
        try:
            configuration = await anyio.to_thread.run_sync(source.read, self._held)
        except (ConfigError, StoreError) as error:
            if self._held is None:
                raise
            self.trouble = str(error)
            if isinstance(error, StoreError):
                source.unreadable()
            log.warning("the newest configuration cannot be read, and the last good one stays in use: %s", error)
            return
        if configuration is not None:
            self.trouble = ""
            made = await anyio.to_thread.run_sync(self._made_anew, configuration)
            self._swap(configuration, made)

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
        made = await anyio.to_thread.run_sync(self._make, self._held, id)
        self._swap(self._held, [made])
        await self.close_retired()

    async def _recover(self) -> None:
        """Make anew what lacked its secret, if it is time. Nobody waits for it who has somebody else to ask."""
        held = self._held
        if held is None:
            return
        if due := self._recovery.due():
            self._recovery.start(held, lambda: [self._make(held, each) for each in due])
            if not self._live:
                await anyio.to_thread.run_sync(self._recovery.wait, numbers.SECRET_WAIT)
        if self._held is held and (found := self._recovery.take(held)):
            self._swap(held, found, changed=False)

    def _made_anew(self, configuration: Configuration) -> list[Made]:
        """What the change touched, made in a thread: secrets may come from commands, plugins have to be imported."""
        before = self._held
        self._values, faults = routing_values(configuration, None if before is None else self._values)
        if faults:
            self.trouble = f"what was in force before stays so, because {'; '.join(faults)}"
            log.warning("%s", self.trouble)
        everything = sorted(set(self._views) | set(configuration.providers))
        if before is None or configuration.renewed is None or before.credentials != configuration.credentials:
            return [self._make(configuration, each) for each in everything]
        made = [self._make(configuration, each) for each in configuration.renewed]
        if before.settings != configuration.settings:  # bounds change, and nobody's connections
            made += [
                Made(
                    name,
                    as_it_was(live, record, links_of(configuration, name), self._values, stale=self._views[name].stale),
                )
                for name, live in list(self._live.items())
                if name not in configuration.renewed and (record := configuration.providers.get(name)) is not None
            ]
        return made

    def _make(self, configuration: Configuration, id: str) -> Made:
        return self._maker.make(configuration, id, live=self._live.get(id), values=self._values)

    def _swap(self, configuration: Configuration, made: Sequence[Made], *, changed: bool = True) -> None:
        """Put what was made in force, in one step between two requests."""
        self._held = configuration
        for each in made:
            lacks = each.lacks and each.view is not None and each.view.enabled
            self._recovery.note(each.id, lacks=lacks, anew=changed)
            if each.view is None or each.anew:
                known = self._retire(each.id)
                if each.provider is not None:
                    self._live[each.id] = LiveProvider(each.provider, each.options)
                    if known:
                        self.health.forgive(each.id, each.provider.endpoint, self._clock())
            if each.view is None:
                self._views.pop(each.id, None)
            else:
                self._views[each.id] = each.view
        self._publish()

    def _put(self, provider: Provider, *, priority: int) -> None:
        """A provider that no database knows."""
        if self._retire(provider.id):
            self.health.forgive(provider.id, provider.endpoint, self._clock())
        self._live[provider.id] = LiveProvider(provider)
        values = self._values if self._held else environment_values()
        self._views[provider.id] = provider_view(provider, None, (), values, priority=priority)

    def _publish(self) -> None:
        configuration = self._held
        if self._source is not None and configuration is not None:
            self.recorder = self._source.recorder(history_settings(configuration))
        values = self._values if configuration else environment_values()
        self.snapshot = snapshot_view(configuration, self._views.values(), values)

    @property
    def recording(self) -> Recording:
        """How the recording of requests goes, or went until all was closed."""
        return Recording() if self._source is None else self._source.recording

    def masks(self, plan: Plan) -> list[Callable[[str], str]]:
        """What takes the secrets of a plan's first providers out of a text."""
        ids = dict.fromkeys(candidate.provider for candidate in plan.candidates[:_MASKED])
        return [live.provider.mask for each in ids if (live := self._live.get(each)) is not None]

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
        if self.release(live):
            await self.close_retired()

    def release(self, live: LiveProvider) -> bool:
        """The call is over; says whether it was the last one of a provider of the past, which is then to be closed."""
        live.users -= 1
        if self._source is not None and self._source.sharing is not None:
            self._source.sharing.tell()
        return live.retired and not live.users

    def view(self, id: str) -> ProviderView | None:
        """A provider as plans see it, or None."""
        return self._views.get(id)

    def live(self, id: str) -> LiveProvider | None:
        """A provider in use, or None. Whoever makes a call takes it."""
        return self._live.get(id)

    def bound(self, view: ProviderView, slots: int) -> None:
        """Send a provider that nobody has bounded no more than so many calls at once."""
        self._views[view.id] = evolve(view, max_parallel=slots)
        self._publish()

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
        await self.close_retired()

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def _retire(self, id: str) -> bool:
        """Let a provider's calls end in peace; says whether it was known."""
        live = self._live.pop(id, None)
        if live is not None:
            live.retired = True
            self._retired.append(live)
        return id in self._views

    async def close_retired(self) -> None:
        """Close the providers of the past that nobody uses any more."""
        idle = [live for live in self._retired if not live.users]
        self._retired = [live for live in self._retired if live.users]
        for live in idle:
            await live.provider.aclose()

    async def aclose(self) -> None:
        """Close every provider and the database. May be called twice; the next request opens both anew."""
        for live in [*self._live.values(), *self._retired]:
            await live.provider.aclose()
        self._retired.clear()
        if self._source is not None:
            self._source.close()
        self.recorder = None
