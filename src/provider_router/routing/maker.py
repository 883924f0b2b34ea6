"""Maker: from a provider's records to the provider, or to the reason why it cannot be."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.provider import Provider
from provider_router.routing.live import LiveProvider
from provider_router.routing.snapshot import ProviderView, Snapshot
from provider_router.routing.views import (
    broken_view,
    goes_on,
    problem_text,
    provider_view,
    routing_values,
    snapshot_view,
)

if TYPE_CHECKING:
    from provider_router.providers.plugins import Plugins
    from provider_router.providers.secrets import Keeper
    from provider_router.store import Configuration, LinkRecord, ProviderRecord

log: Final = logging.getLogger("provider_router")


@frozen
class Made:
    """What became of one provider: no view if it was removed, no provider if it cannot be made or stays as it is.

    `lacks` is whether a secret could not be had, also where the last good provider goes on: it is looked for again.
    """

    id: str
    view: ProviderView | None = None
    provider: Provider | None = None
    options: Mapping[str, object] = field(factory=dict)
    anew: bool = False
    lacks: bool = False


def links_of(configuration: Configuration, id: str) -> tuple[LinkRecord, ...]:
    return configuration.links.get(id, ())


def as_it_was(
    live: LiveProvider, record: ProviderRecord, links: Sequence[LinkRecord], values: Mapping[str, Any], *, stale: str
) -> ProviderView:
    """A provider's view with new records and the options that it has: whether and when it is asked is theirs."""
    return evolve(provider_view(live.provider, record, links, values), stale=stale)


class Maker:
    """Makes providers of the installed types; in a thread, for secrets come from commands and plugins are imported.

    Attributes:
        keeper: has the values of `secret:` references.
    """

    def __init__(self, plugins: Plugins | None) -> None:
        self.keeper: Keeper | None = None
        self._plugins = plugins

    def make(
        self, configuration: Configuration, id: str, *, live: LiveProvider | None, values: Mapping[str, Any]
    ) -> Made:
        """One provider from its records; what cannot be made goes on as it was, or is a problem that the plan tells."""
        record = configuration.providers.get(id)
        if record is None:
            return Made(id)
        links = links_of(configuration, id)
        options: Mapping[str, object] = {o.key: o.value for o in configuration.options.get(id, ())}
        try:
            options = self._with_login(record, options, configuration)
            provider = self._create(record, options)
            return Made(id, provider_view(provider, record, links, values), provider, options, anew=True)
        except ConfigError as error:
            problem = error
        except Exception as error:  # whatever a third party's class does; its text may hold a secret
            problem = ConfigError(f"the type {record.type} failed with {type(error).__name__}: tell its author")
        # A secret that is not there any more was taken away, and with it the leave to use it.
        lacks, withdrawn = isinstance(problem, MissingSecret), isinstance(problem.__cause__, MissingSecret)
        if (
            live
            and not withdrawn
            and record.type == live.provider.type
            and goes_on(live.provider, live.options, options)
        ):
            stale = problem_text(record, problem)
            log.warning("%s is asked as it was before its last change, which cannot be loaded: %s", id, stale)
            return Made(id, as_it_was(live, record, links, values, stale=stale), lacks=lacks)
        return Made(id, broken_view(record, links, problem), anew=True, lacks=lacks)

    def _with_login(
        self, record: ProviderRecord, own: Mapping[str, object], configuration: Configuration
    ) -> Mapping[str, object]:
        """A provider's options, with the shared login where its type takes it."""
        from provider_router.configuration.lending import with_login
        from provider_router.store import now

        return with_login(self.types().get(record.type).Config, own, configuration.credentials, at=now())

    def _create(self, record: ProviderRecord, options: Mapping[str, object]) -> Provider:
        from provider_router.providers.secrets import resolve

        return self.types().create(
            record.type, record.id, options, resolve=lambda reference: resolve(reference, keeper=self.keeper)
        )

    def types(self) -> Plugins:
        """The installed types, found when they are first needed."""
        if self._plugins is None:
            from provider_router.providers.plugins import Plugins

            self._plugins = Plugins.load()
        return self._plugins

    def snapshot_of(self, configuration: Configuration) -> Snapshot:
        """What plans would be made from under another configuration. Nothing of it comes in force; nobody is asked.

        It makes every provider, so it takes a while, and commands that give a secret are run.
        """
        values, _ = routing_values(configuration, {})
        made = [self.make(configuration, each, live=None, values=values) for each in configuration.providers]
        return snapshot_view(configuration, [each.view for each in made if each.view is not None], values)
