"""What was changed, what that did, and back again: any sequence of changes, and exactly the state of any number."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from provider_router import Admin, home
from provider_router.errors import ConfigError
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import FileKeeper
from provider_router.store import Configuration, records_of

NEST = "http://192.168.0.22:1234/v1"


def state(configuration: Configuration) -> object:
    """All that a configuration says, to the last millisecond; not its number, and not how it was read."""
    return evolve(configuration, revision=0, renewed=None, file=(0, 0))


@pytest.fixture
def lived(admin: Admin) -> Admin:
    """1 adds desk, 2 gives it a key, 3 adds a model, 4 links it, 5 makes desk active."""
    admin.providers.add("desk", type="pelican", config={"baseURL": NEST})
    admin.providers.config("desk").set_many({"apiKey": "sk-pelican", "headers": {"X-A": "a-secret", "X-B": "env:B"}})
    admin.models.add("qwen3", capabilities=["chat"])
    admin.links.link("desk", "qwen3", default=True, parameters={"top_k": 40}, limits={"timeout": "30s"})
    admin.settings.set_active("desk")
    return admin


def fields(admin: Admin, *numbers: int) -> dict[str, Any]:
    return {f"{one.kind} {one.noun} {one.subject}": dict(one.fields) for one in admin.changes.diff(*numbers)}


def test_the_log_tells_who_did_what_the_newest_first(lived: Admin, open_admin: Callable[..., Admin]) -> None:
    open_admin(who="rest:boss").settings.set("routing.maxWait", "5s")
    log = lived.changes.log()
    assert [6, 5, 4, 3, 2, 1] == [one.number for one in log]
    assert ("rest:boss", "set routing.maxWait") == (log[0].who, log[0].what)
    assert [6] == [one.number for one in lived.changes.log(who="rest")]
    assert [] == [one.number for one in lived.changes.log(who="res")]
    assert [2, 1] == [one.number for one in lived.changes.log(noun="provider")]
    assert [4] == [one.number for one in lived.changes.log(subject="desk qwen3")]
    assert [6, 5] == [one.number for one in lived.changes.log(since=4)]
    assert [6, 5] == [one.number for one in lived.changes.log(limit=2)]
    assert [] == [one.number for one in lived.changes.log(after=log[0].at)]


def test_a_diff_of_one_number_is_what_that_change_did(lived: Admin) -> None:
    assert {
        "changed provider desk": {"apiKey": (None, "***"), "headers.X-A": (None, "***"), "headers.X-B": (None, "env:B")}
    } == fields(lived, 2)
    assert {"added setting active_provider": {"value": (None, "desk")}} == fields(lived, 5)
    assert {"default": (None, True), "parameters": (None, {"top_k": 40}), "timeout": (None, "30s")} == fields(lived, 4)[
        "added link desk qwen3"
    ]
    with pytest.raises(ConfigError, match="no change 6"):
        lived.changes.diff(6)


def test_a_diff_between_two_numbers_leaves_out_what_came_and_went(lived: Admin) -> None:
    lived.models.add("heron")
    lived.models.remove("heron")
    lived.providers.config("desk").set("timeout", "1500ms")
    assert {"changed provider desk": {"timeout": (None, "1500ms")}} == fields(lived, 5, 8)
    assert {"changed provider desk": {"timeout": ("1500ms", None)}} == fields(lived, 8, 5)


def test_another_secret_shows_as_one_and_neither_is_shown(lived: Admin) -> None:
    lived.providers.config("desk").set("apiKey", "sk-heron")
    assert {"changed provider desk": {"apiKey": ("***", "*** (another one)")}} == fields(lived, 6)
    assert "sk-" not in repr([*lived.changes.diff(0, 6), *lived.changes.log()])


def test_a_removed_provider_comes_back_with_its_links_and_secrets(
    lived: Admin, keeper: FileKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B", "b-secret")
    before = lived.changes.at(5)
    lived.providers.remove("desk", force=True)
    lived.models.remove("qwen3")
    assert () == keeper.ids()
    done = lived.changes.rollback(5)
    assert state(before) == state(lived.changes.at(8))
    assert ("rolled back to change 5", 8) == (done.change and done.change.what, lived.revision)
    assert "sk-pelican" == lived.providers.config("desk").build_config().api_key.reveal()
    assert () == done.missing_secrets


def test_going_back_can_be_taken_back(lived: Admin, keeper: FileKeeper) -> None:
    now, secrets = lived.changes.at(5), set(keeper.ids())
    lived.changes.rollback(0)
    assert (0, 0, ()) == (len(lived.providers), len(lived.models), keeper.ids())
    lived.changes.rollback(5)
    assert (state(now), secrets) == (state(lived.changes.at(lived.revision)), set(keeper.ids()))


def test_a_secret_that_is_gone_for_good_is_left_out_and_named(
    lived: Admin, keeper: FileKeeper, open_admin: Callable[..., Admin]
) -> None:
    lived.credentials.set("tok-1", "cookie-1")
    lived.providers.remove("desk", force=True)
    lived.credentials.remove()
    for option in lived.changes.at(6).options["desk"]:
        for reference in option.value.values() if isinstance(option.value, dict) else [option.value]:
            keeper.forget(str(reference).removeprefix("secret:"))
    keeper.forget(lived.changes.at(6).credentials[0].cookies.removeprefix("secret:"))
    missing = ("desk/apiKey", "desk/headers.X-A", "credentials/cookies")
    assert set(missing) == set(lived.changes.rollback(6, dry_run=True).missing_secrets)
    assert set(missing) == set(lived.changes.rollback(6).missing_secrets)
    assert {"baseURL": NEST, "headers": {"X-B": "env:B"}} == lived.providers.config("desk").all()
    assert () == lived.credentials.list()


def test_a_dry_run_says_what_would_be_and_does_nothing(lived: Admin, keeper: FileKeeper) -> None:
    lived.providers.remove("desk", force=True)
    planned = lived.changes.rollback(5, dry_run=True)
    assert (6, 0, ()) == (lived.revision, len(lived.providers), keeper.ids())
    assert planned.change is None
    assert planned.differences == lived.changes.rollback(5).differences


def test_going_back_to_where_we_are_is_no_change(lived: Admin) -> None:
    assert (None, ()) == (lived.changes.rollback(5).change, lived.changes.rollback(5).differences)
    assert 5 == lived.revision


def test_there_is_no_way_back_to_a_change_that_never_was(lived: Admin) -> None:
    for number in (-1, 6):
        with pytest.raises(ConfigError, match=f"no change {number}: the newest is 5"):
            lived.changes.rollback(number)


def test_a_change_that_somebody_made_meanwhile_stops_the_rollback(lived: Admin) -> None:
    lived.models.add("heron")
    with pytest.raises(ConfigError, match="Somebody has changed the configuration meanwhile"):
        lived.changes.rollback(1, expected=5)
    assert "heron" in lived.models


def test_names_may_have_changed_places(admin: Admin) -> None:
    for name in ("one", "two"):
        admin.providers.add(name, type="wren", name=name.upper())
    admin.providers.edit("one", name="THREE")
    admin.providers.edit("two", name="ONE")
    admin.providers.edit("one", name="TWO")
    admin.changes.rollback(2)
    assert {"one": "ONE", "two": "TWO"} == {record.id: record.name for record in admin.providers.list()}


def test_a_provider_whose_type_is_gone_comes_back_and_says_so(lived: Admin, open_admin: Callable[..., Admin]) -> None:
    lived.providers.remove("desk", force=True)
    done = open_admin(types=Plugins([])).changes.rollback(5)
    assert ("desk",) == done.missing_types
    assert "desk" in lived.providers


def test_a_rollback_that_fails_leaves_the_bin_as_it_was(lived: Admin, keeper: FileKeeper) -> None:
    lived.providers.remove("desk", force=True)
    with pytest.raises(ZeroDivisionError), lived.atomic():
        lived.changes.rollback(5)
        assert 2 == len(keeper.ids())
        raise ZeroDivisionError
    assert (6, ()) == (lived.revision, keeper.ids())


# --------------------------------------------------------------------------------------------------- as a property

PROVIDERS = st.sampled_from(["desk", "loft"])
MODELS = st.sampled_from(["large", "small", "tiny"])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.sampled_from(["5s", "1500ms"]),
        "apiKey": st.sampled_from(["sk-one", "sk-two", "env:KEY", None]),
        "headers": st.sampled_from([{"X-A": "h-one"}, {"X-A": "h-two", "X-B": "env:B"}, None]),
        "tags": st.sampled_from([["a"], ["a", "b"], None]),
        "baseURL": st.sampled_from([NEST, "http://10.0.0.9:1"]),
    },
)


class LivedConfiguration(RuleBasedStateMachine):
    """Everything that Admin can do, in any order; each state is remembered under its number."""

    def __init__(self, plugins: Plugins) -> None:
        super().__init__()
        # With a bin of its own: each secret is written with all that are there, those of former examples too.
        home.secrets_path().unlink(missing_ok=True)
        self.folder = tempfile.TemporaryDirectory()
        self.admin = Admin(Path(self.folder.name) / "router.db", plugins=plugins)
        self.states: dict[int, object] = {0: state(self.admin.changes.at(0))}

    def teardown(self) -> None:
        self.admin.close()
        self.folder.cleanup()

    def attempt(self, act: Callable[[], object]) -> None:
        """What is refused must leave no trace; the invariant sees to it."""
        try:
            act()
        except ConfigError:
            pass

    @rule(provider=PROVIDERS, options=OPTIONS, priority=st.integers(-2, 2))
    def add_provider(self, provider: str, options: dict[str, Any], priority: int) -> None:
        config = {"baseURL": NEST, **options}
        self.attempt(lambda: self.admin.providers.add(provider, type="pelican", priority=priority, config=config))

    @rule(provider=PROVIDERS, options=OPTIONS, name=st.sampled_from(["desk", "loft", "attic"]))
    def edit_provider(self, provider: str, options: dict[str, Any], name: str) -> None:
        self.attempt(lambda: self.admin.providers.edit(provider, name=name, config=options))

    @rule(provider=PROVIDERS, enabled=st.booleans())
    def switch(self, provider: str, enabled: bool) -> None:
        act = self.admin.providers.enable if enabled else self.admin.providers.disable
        self.attempt(lambda: act(provider))

    @rule(provider=PROVIDERS)
    def remove_provider(self, provider: str) -> None:
        self.attempt(lambda: self.admin.providers.remove(provider, force=True))

    @rule(model=MODELS, alias=st.none() | MODELS, fallbacks=st.lists(MODELS, max_size=2))
    def put_model(self, model: str, alias: str | None, fallbacks: list[str]) -> None:
        act = self.admin.models.edit if model in self.admin.models else self.admin.models.add
        self.attempt(lambda: act(model, alias_of=alias, fallbacks=fallbacks))

    @rule(model=MODELS)
    def remove_model(self, model: str) -> None:
        self.attempt(lambda: self.admin.models.remove(model))

    @rule(provider=PROVIDERS, model=MODELS, default=st.booleans(), weight=st.none() | st.sampled_from([1, 1.0, 2]))
    def link(self, provider: str, model: str, default: bool, weight: float | None) -> None:
        act = self.admin.links.edit if (provider, model) in self.admin.links else self.admin.links.link
        self.attempt(lambda: act(provider, model, default=default, weight=weight))

    @rule(provider=PROVIDERS, model=st.none() | MODELS)
    def unlink(self, provider: str, model: str | None) -> None:
        links = self.admin.links
        self.attempt(lambda: links.unlink(provider, model) if model else links.unlink_all(provider))

    @rule(provider=st.none() | PROVIDERS)
    def set_active(self, provider: str | None) -> None:
        self.attempt(lambda: self.admin.settings.set_active(provider))

    @rule(value=st.sampled_from(["1s", "2s", None]))
    def set_setting(self, value: str | None) -> None:
        key = "routing.maxWait"
        self.attempt(lambda: self.admin.settings.set(key, value) if value else self.admin.settings.unset(key))

    @rule(token=st.sampled_from(["tok-one", "env:TOKEN"]))
    def set_credentials(self, token: str) -> None:
        self.attempt(lambda: self.admin.credentials.set(token, "cookie"))

    @rule()
    def remove_credentials(self) -> None:
        self.attempt(self.admin.credentials.remove)

    @rule(provider=PROVIDERS)
    def give_up_several(self, provider: str) -> None:
        with pytest.raises(ZeroDivisionError), self.admin.atomic():
            self.add_provider(provider, {"apiKey": "sk-gone"}, 0)
            self.remove_provider("desk")
            self.set_credentials("tok-gone")
            raise ZeroDivisionError

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.states)))
        done = self.admin.changes.rollback(number)
        assert () == done.missing_secrets
        assert self.states[number] == state(self.admin.changes.at(self.admin.revision))

    @rule(data=st.data())
    def import_what_was_exported(self, data: st.DataObject) -> None:
        document = self.admin.export()
        self.admin.import_document(document.content)
        assert () == self.admin.import_document(document.content).differences

    @invariant()
    def every_state_that_ever_was_is_still_known(self) -> None:
        newest = self.admin.revision
        assert newest == len(self.admin.changes.log())
        self.states.setdefault(newest, state(self.admin.changes.at(newest)))
        assert sorted(self.states) == list(range(newest + 1))
        for number in {0, newest // 2, newest - 1, newest} - {-1}:
            assert self.states[number] == state(self.admin.changes.at(number))

    @invariant()
    def nothing_refers_to_a_secret_in_the_bin(self) -> None:
        used = {
            reference.removeprefix("secret:")
            for record in records_of(self.admin.changes.at(self.admin.revision)).values()
            for value in [getattr(record, name, None) for name in ("value", "token", "cookies")]
            for reference in (value.values() if isinstance(value, dict) else [value])
            if isinstance(reference, str) and reference.startswith("secret:")
        }
        assert used <= set(self.admin._editor.keeper.ids())


def test_whatever_was_done_any_state_can_be_gone_back_to(plugins: Plugins) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: LivedConfiguration(plugins), settings=settings(max_examples=15, stateful_step_count=20, deadline=None)
    )


@pytest.mark.soak
def test_whatever_was_done_any_state_can_be_gone_back_to_many_times(plugins: Plugins) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: LivedConfiguration(plugins), settings=settings(max_examples=400, stateful_step_count=50, deadline=None)
    )
