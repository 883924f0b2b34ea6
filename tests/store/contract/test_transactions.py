"""All or nothing, one state at a time, and reading only what changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from provider_router.errors import AlreadyExists, StoreError
from provider_router.store import ChangeRecord, LinkRecord, ModelRecord, OptionRecord, ProviderRecord, Store


def provider(name: str) -> ProviderRecord:
    return ProviderRecord(id=name, name=name.title(), type="lm-studio")


def change(*, providers: tuple[str, ...] | None = None, models: tuple[str, ...] | None = ()) -> ChangeRecord:
    return ChangeRecord(who="t", what="changed it", noun="provider", subject="x", providers=providers, models=models)


def test_nothing_is_kept_of_a_block_that_raises(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.atomic():
        store.providers.add(provider("desk"))
        store.changes.add(change())
        raise ZeroDivisionError
    assert (len(store.providers), store.revision) == (0, 0)


def test_an_inner_block_that_raises_takes_only_its_own_along(store: Store) -> None:
    with store.atomic():
        store.providers.add(provider("desk"))
        with pytest.raises(AlreadyExists), store.atomic():
            store.providers.add(provider("loft"))
            store.providers.add(provider("loft"))
        store.providers.add(provider("attic"))
    assert [record.id for record in store.providers.list()] == ["attic", "desk"]


def test_an_interrupted_block_keeps_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.atomic():
        store.providers.add(provider("desk"))
        raise KeyboardInterrupt
    assert "desk" not in store.providers


def test_a_block_is_seen_by_others_only_when_it_is_done(
    store: Store, open_store: Callable[[Path], Store], path: Path
) -> None:
    with open_store(path) as other:
        with store.atomic():
            store.providers.add(provider("desk"))
            assert "desk" not in other.providers
        assert "desk" in other.providers


def test_threads_take_turns(store: Store) -> None:
    store.providers.add(provider("desk"))

    def add() -> None:
        for _ in range(20):
            with store.atomic():
                record = store.providers.get("desk")
                store.providers.update(evolve(record, priority=record.priority + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.providers.get("desk").priority == 80


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="has been closed"):
        store.read()


def test_a_configuration_holds_everything(store: Store) -> None:
    store.providers.add(provider("desk"))
    store.models.add(ModelRecord(id="m", name="M"))
    option = store.configs.set(OptionRecord(provider_id="desk", key="timeout", value=5))
    link = LinkRecord(provider_id="desk", model_id="m")
    store.links.add(link)
    number = store.changes.add(change()).number
    configuration = store.read()
    assert configuration.revision == number
    assert configuration.options == {"desk": (option,)}
    assert configuration.links == {"desk": (link,)}
    assert list(configuration.models) == ["m"]
    assert configuration.renewed is None


@pytest.fixture
def three(store: Store) -> Store:
    for name in ("desk", "loft", "attic"):
        store.providers.add(provider(name))
        store.configs.set(OptionRecord(provider_id=name, key="timeout", value=5))
        store.models.add(ModelRecord(id=f"m-{name}", name="M"))
        store.links.add(LinkRecord(provider_id=name, model_id=f"m-{name}"))
    store.changes.add(change())
    return store


def assert_same(renewed: object, whole: object) -> None:
    assert evolve(renewed, renewed=None) == whole  # type: ignore[type-var]


def test_without_a_change_nothing_is_read_again(three: Store) -> None:
    held = three.read()
    again = three.read(held)
    assert again.renewed == frozenset()
    assert again.providers is held.providers


def test_only_what_changed_is_read_again(three: Store) -> None:
    held = three.read()
    three.configs.set(OptionRecord(provider_id="desk", key="timeout", value=6))
    three.changes.add(change(providers=("desk",)))
    three.providers.remove("loft")
    three.changes.add(change(providers=("loft",)))
    renewed = three.read(held)
    assert renewed.renewed == {"desk", "loft"}
    assert renewed.providers["attic"] is held.providers["attic"]
    assert_same(renewed, three.read())


def test_a_removed_model_renews_those_who_served_it(three: Store) -> None:
    held = three.read()
    three.models.remove("m-attic")
    three.models.update(evolve(three.models.get("m-desk"), name="Desk's"))
    three.changes.add(change(providers=(), models=("m-attic", "m-desk")))
    renewed = three.read(held)
    assert renewed.renewed == {"attic", "desk"}
    assert_same(renewed, three.read())


def test_a_change_that_does_not_say_what_it_touched_has_everything_read(three: Store) -> None:
    held = three.read()
    three.providers.update(evolve(three.providers.get("loft"), priority=9))
    three.changes.add(change(models=None))
    assert three.read(held).renewed is None


def test_a_change_that_touched_very_much_has_everything_read(three: Store) -> None:
    held = three.read()
    three.changes.add(change(providers=tuple(f"p{number}" for number in range(1000))))
    assert three.read(held).renewed is None


def test_a_configuration_of_another_past_is_not_built_upon(three: Store) -> None:
    three.changes.add(change(providers=()))
    ahead = evolve(three.read(), revision=99)
    assert three.read(ahead).renewed is None
