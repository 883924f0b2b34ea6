"""The store against dictionaries that do the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from provider_router.errors import AlreadyExists, ConfigError
from provider_router.store import (
    ChangeRecord,
    Configuration,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    ProviderRecord,
    SettingRecord,
    Store,
)

PROVIDERS = st.sampled_from(["attic", "desk", "loft"])
MODELS = st.sampled_from(["large", "small"])
KEYS = st.sampled_from(["baseURL", "timeout"])
VALUES = st.none() | st.booleans() | st.integers() | st.sampled_from(["007", "false", ""]) | st.lists(st.floats(0, 1))


class StoreMachine(RuleBasedStateMachine):
    """Every rule does the same to the store and to the model; what raises must change neither."""

    def __init__(self, open_store: Callable[[Path], Store]) -> None:
        super().__init__()
        self.open_store = open_store
        self.folder = tempfile.TemporaryDirectory()
        self.place = Path(self.folder.name) / "store.db"
        self.store = open_store(self.place)
        self.providers: dict[str, ProviderRecord] = {}
        self.options: dict[tuple[str, str], OptionRecord] = {}
        self.models: dict[str, ModelRecord] = {}
        self.links: dict[tuple[str, str], LinkRecord] = {}
        self.settings: dict[str, SettingRecord] = {}
        self.changes = 0
        self.held: Configuration = self.store.read()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def changed(self, *, providers: tuple[str, ...] = (), models: tuple[str, ...] = ()) -> None:
        self.store.changes.add(
            ChangeRecord(who="t", what="did it", noun="n", subject="s", providers=providers, models=models)
        )
        self.changes += 1

    @rule(provider=PROVIDERS, priority=st.integers(-9, 9))
    def add_provider(self, provider: str, priority: int) -> None:
        record = ProviderRecord(id=provider, name=provider.upper(), type="lm-studio", priority=priority)
        try:
            with self.store.atomic():
                self.store.providers.add(record)
                self.changed(providers=(provider,))
        except AlreadyExists:
            assert provider in self.providers
        else:
            assert provider not in self.providers
            self.providers[provider] = record

    @rule(provider=PROVIDERS, enabled=st.booleans())
    def edit_provider(self, provider: str, enabled: bool) -> None:
        if provider in self.providers:
            record = evolve(self.providers[provider], enabled=enabled)
            self.providers[provider] = self.store.providers.update(record)
            self.changed(providers=(provider,))

    @rule(provider=PROVIDERS)
    def remove_provider(self, provider: str) -> None:
        if provider in self.providers:
            assert self.store.providers.remove(provider) == self.providers.pop(provider)
            self.options = {key: option for key, option in self.options.items() if key[0] != provider}
            self.links = {key: link for key, link in self.links.items() if key[0] != provider}
            self.changed(providers=(provider,))

    @rule(provider=PROVIDERS, key=KEYS, value=VALUES)
    def set_option(self, provider: str, key: str, value: object) -> None:
        record = OptionRecord(provider_id=provider, key=key, value=value)  # type: ignore[arg-type]
        try:
            self.options[provider, key] = self.store.configs.set(record)
        except ConfigError:
            assert provider not in self.providers
        else:
            self.changed(providers=(provider,))

    @rule(provider=PROVIDERS, key=KEYS)
    def unset_option(self, provider: str, key: str) -> None:
        assert self.store.configs.unset(provider, key) == self.options.pop((provider, key), None)
        self.changed(providers=(provider,))

    @rule(model=MODELS, fallbacks=st.lists(MODELS, max_size=2).map(tuple))
    def put_model(self, model: str, fallbacks: tuple[str, ...]) -> None:
        record = ModelRecord(id=model, name=model, fallbacks=fallbacks)
        if model in self.models:
            record = self.store.models.update(record)
        else:
            self.store.models.add(record)
        self.models[model] = record
        self.changed(models=(model,))

    @rule(model=MODELS)
    def remove_model(self, model: str) -> None:
        if model in self.models:
            assert self.store.models.remove(model) == self.models.pop(model)
            self.links = {key: link for key, link in self.links.items() if key[1] != model}
            self.changed(models=(model,))

    @rule(provider=PROVIDERS, model=MODELS, default=st.booleans(), weight=st.none() | st.integers(1, 9))
    def link(self, provider: str, model: str, default: bool, weight: float | None) -> None:
        record = LinkRecord(provider_id=provider, model_id=model, default=default, weight=weight)
        try:
            self.store.links.add(record)
        except ConfigError:
            assert provider not in self.providers or model not in self.models or (provider, model) in self.links
        else:
            self.links[provider, model] = record
            if default:
                self.yield_default(provider, model)
            self.changed(providers=(provider,))

    @rule(provider=PROVIDERS, model=MODELS)
    def make_default(self, provider: str, model: str) -> None:
        try:
            self.links[provider, model] = self.store.links.set_default(provider, model)
        except ConfigError:
            assert (provider, model) not in self.links
        else:
            self.yield_default(provider, model)
            self.changed(providers=(provider,))

    def yield_default(self, provider: str, model: str) -> None:
        for key, link in self.links.items():
            if key[0] == provider and key[1] != model and link.default:
                updated_at = self.store.links.get(*key).updated_at
                self.links[key] = evolve(link, default=False, updated_at=updated_at)

    @rule(key=KEYS, value=VALUES)
    def set_setting(self, key: str, value: object) -> None:
        record = SettingRecord(key=key, value=value)  # type: ignore[arg-type]
        self.settings[key] = self.store.settings.set(record)
        self.changed()

    @rule(provider=PROVIDERS)
    def try_in_vain(self, provider: str) -> None:
        try:
            with self.store.atomic():
                for record in self.store.providers.list():
                    self.store.providers.remove(record.id)
                self.store.settings.set(SettingRecord(key="gone", value=provider))
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass

    @precondition(lambda self: self.changes)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open_store(self.place)

    @rule()
    def hold(self) -> None:
        self.held = self.store.read()

    @invariant()
    def the_store_is_as_its_model(self) -> None:
        read = self.store.read()
        assert read.revision == self.changes
        assert read.providers == self.providers
        assert {(o.provider_id, o.key): o for options in read.options.values() for o in options} == self.options
        assert read.models == self.models
        assert {(one.provider_id, one.model_id): one for links in read.links.values() for one in links} == self.links
        assert read.settings == self.settings

    @invariant()
    def reading_what_changed_is_as_good_as_reading_everything(self) -> None:
        assert evolve(self.store.read(self.held), renewed=None) == self.store.read()


def test_the_store_behaves_like_dictionaries(open_store: Callable[[Path], Store]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: StoreMachine(open_store), settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
