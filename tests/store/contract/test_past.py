"""The configuration as it was at a change, bringing the tables back there, and noticing that something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from provider_router.errors import ConfigError, StoreError
from provider_router.store import (
    ChangeRecord,
    Configuration,
    CredentialRecord,
    Kept,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    Probe,
    ProviderRecord,
    SettingRecord,
    Store,
    configuration_of,
    key_of,
    now,
    records_of,
    row_of,
)

DESK = ProviderRecord(id="desk", name="Desk", type="lm-studio")
LOFT = ProviderRecord(id="loft", name="Loft", type="lm-studio")
BASE = OptionRecord(provider_id="desk", key="baseURL", value="http://desk")
QWEN = ModelRecord(id="qwen3", name="Qwen 3")
LINK = LinkRecord(provider_id="desk", model_id="qwen3", default=True)
WAIT = SettingRecord(key="routing.maxWait", value=5000)
LOGIN = CredentialRecord(id=1, token="env:TOKEN", cookies="env:COOKIES")
ALL: tuple[Kept, ...] = (DESK, LOFT, BASE, QWEN, LINK, WAIT, LOGIN)


def rows(records: Iterable[Kept]) -> dict[str, list[dict[str, object]]] | None:
    found: dict[str, list[dict[str, object]]] = {}
    for record in records:
        found.setdefault(key_of(record)[0], []).append(row_of(record))
    return found or None


def bring(store: Store, *records: Kept, who: str = "t", noun: str = "provider", subject: str = "x") -> Configuration:
    """Replace everything, and tell of it as every caller has to."""
    with store.atomic():
        done = store.replace(configuration_of(records, revision=0))
        before, after = rows(done.before), rows(done.after)
        change = ChangeRecord(who=who, what="did", noun=noun, subject=subject, before=before, after=after)  # type: ignore[arg-type]
        store.changes.add(change)
    return store.read()


def same(one: Configuration, other: Configuration) -> bool:
    return evolve(one, file=(0, 0), renewed=None) == evolve(other, file=(0, 0), renewed=None)


def test_every_state_that_ever_was_can_be_read_and_brought_back(store: Store) -> None:
    states = [store.read(), bring(store, *ALL)]
    states.append(bring(store, DESK, QWEN))
    states.append(bring(store, evolve(DESK, enabled=False), evolve(LINK, default=False), QWEN, WAIT))
    states.append(bring(store))
    for number, state in enumerate(states):
        assert same(state, store.at(number))
    for number, state in enumerate(states):
        brought = bring(store, *records_of(store.at(number)).values())
        assert same(evolve(state, revision=brought.revision), brought)


def test_a_replacement_says_what_it_took(store: Store) -> None:
    bring(store, *ALL)
    wanted = (evolve(DESK, priority=3), LOFT, BASE, QWEN, WAIT)
    with store.atomic():
        done = store.replace(configuration_of(wanted, revision=0))
    assert {DESK, *(("link", "desk", "qwen3"), ("credential", "1"))} == {
        record if record == DESK else key_of(record) for record in done.before
    }
    assert (evolve(DESK, priority=3),) == done.after
    assert ((), ()) == ((again := store.replace(store.read())).before, again.after)


def test_names_and_defaults_may_change_places(store: Store) -> None:
    other, second = ModelRecord(id="other", name="Other"), LinkRecord(provider_id="desk", model_id="other")
    bring(store, *ALL, other, second)
    swapped = (evolve(DESK, name="Loft"), evolve(LOFT, name="Desk"), BASE, QWEN, other)
    now_other = (evolve(LINK, default=False), evolve(second, default=True))
    brought = bring(store, *swapped, *now_other)
    assert {"desk": "Loft", "loft": "Desk"} == {one.id: one.name for one in brought.providers.values()}
    assert "other" == getattr(store.links.default_for("desk"), "model_id", None)


def test_a_state_that_cannot_be_is_refused_whole(store: Store) -> None:
    bring(store, *ALL)
    with pytest.raises(ConfigError):
        store.replace(configuration_of([evolve(LINK, model_id="nothing"), evolve(DESK, name="X")], revision=0))
    assert set(map(key_of, ALL)) == set(records_of(store.read()))


def test_there_is_no_state_before_the_first_and_none_after_the_last(store: Store) -> None:
    bring(store, *ALL)
    for number in (-1, 2):
        with pytest.raises(ConfigError, match=f"no change {number}: the newest is 1"):
            store.at(number)


def test_rows_of_other_nouns_in_a_change_are_left_alone(store: Store) -> None:
    bring(store, *ALL)
    store.changes.add(
        ChangeRecord(who="t", what="made a key", noun="key", subject="k", after={"key": [{"id": "k", "hash": "h"}]})
    )
    assert same(evolve(store.at(1), revision=2), store.read())


def test_the_log_can_be_narrowed(store: Store) -> None:
    first = bring(store, DESK, who="rest:boss", subject="desk")
    bring(store, DESK, WAIT, who="rest", noun="setting", subject="routing.maxWait")
    bring(store, DESK, who="restless")
    assert 1 == first.revision

    def found(**narrow: object) -> list[int | None]:
        return [one.number for one in store.changes.list(**narrow)]  # type: ignore[arg-type]

    assert [3, 2, 1] == found()
    assert [2, 1] == found(who="rest")
    assert [1] == found(who="rest:boss")
    assert [2] == found(noun="setting")
    assert [1] == found(subject="desk", since=0)
    assert [3] == found(since=1, limit=1)
    assert [] == found(after=now() + timedelta(hours=1))
    assert [3, 2, 1] == found(after=now() - timedelta(hours=1))


def test_a_probe_sees_what_others_have_changed_until_it_is_read(
    store: Store, open_store: Callable[[Path], Store], open_probe: Callable[[Path], Probe], path: Path
) -> None:
    probe = open_probe(path)
    held = store.read()
    assert not probe.moved(held)
    with open_store(path) as other:
        bring(other, DESK)
        assert probe.moved(held)
        held = store.read(held)
        assert not probe.moved(held)
        with pytest.raises(ZeroDivisionError), other.atomic():
            bring(other, LOFT)
            raise ZeroDivisionError
        assert not probe.moved(held)
    probe.close()


def test_what_no_store_has_can_be_read_as_one_and_not_be_written(path: Path) -> None:
    with Store.of(configuration_of(ALL, revision=1), path) as store:
        assert (DESK, LOFT) == store.providers.list()
        assert LINK == store.links.get("desk", "qwen3")
        with pytest.raises(StoreError):
            store.providers.remove("desk")
    assert not path.exists()
