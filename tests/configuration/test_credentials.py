"""admin.credentials: the login at chat.qwen.ai."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from provider_router.configuration.admin import Admin
from provider_router.errors import ConfigError, InvalidConfig
from provider_router.plugin import Secret
from provider_router.providers.secrets import FileKeeper
from provider_router.store import ChangeRecord, CredentialRecord, Store

TOKEN = "T2gA-synthetic-umid"
COOKIES = "cna=abc; token=eyJsynthetic"


def test_a_login_is_kept_as_references(admin: Admin, keeper: FileKeeper) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    record = admin.credentials.set(Secret(TOKEN), COOKIES, expires_at=tomorrow)
    assert admin.credentials.list() == (record,)
    assert admin.credentials.current() == record
    values = [keeper.get(reference.removeprefix("secret:")).reveal() for reference in (record.token, record.cookies)]
    assert values == [TOKEN, COOKIES]


def test_a_new_login_takes_the_place_of_the_old_ones(
    admin: Admin, keeper: FileKeeper, changes: Callable[[], tuple[ChangeRecord, ...]]
) -> None:
    admin.credentials.set(TOKEN, COOKIES)
    admin.credentials.set("env:QWEN_TOKEN", "env:QWEN_COOKIES")
    assert [record.token for record in admin.credentials.list()] == ["env:QWEN_TOKEN"]
    assert keeper.ids() == ()
    assert [change.what for change in changes()] == ["set the credentials", "set the credentials"]
    assert changes()[-1].before is not None
    assert changes()[-1].providers == ()


def test_an_expired_login_is_not_the_current_one(admin: Admin) -> None:
    admin.credentials.set(TOKEN, COOKIES, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert admin.credentials.current() is None


def test_every_problem_is_told_at_once_without_a_secret(admin: Admin, keeper: FileKeeper) -> None:
    with pytest.raises(InvalidConfig) as caught:
        admin.credentials.set(" ", f"{COOKIES}\nx", expires_at=datetime(2030, 1, 1))  # noqa: DTZ001 - the fault
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["token", "cookies", "expires_at"]
    assert "synthetic" not in str(caught.value)
    assert (admin.revision, keeper.ids()) == (0, ())


def test_a_mask_is_no_secret(admin: Admin) -> None:
    with pytest.raises(InvalidConfig, match="token: this is the mask"):
        admin.credentials.set("***", COOKIES)


def test_from_afar_no_reference_can_be_set(open_admin: Callable[..., Admin]) -> None:
    with pytest.raises(InvalidConfig, match="token: a reference can be set"):
        open_admin(local=False).credentials.set("file:/etc/passwd", COOKIES)


def test_removed_logins_are_gone_with_their_secrets(admin: Admin, keeper: FileKeeper) -> None:
    record = admin.credentials.set(TOKEN, COOKIES)
    with pytest.raises(ConfigError, match="no credentials 99"):
        admin.credentials.remove(99)
    assert admin.credentials.remove(record.id) == (record,)
    assert admin.credentials.remove() == ()
    assert keeper.ids() == ()
    assert admin.revision == 2


def test_one_of_several_logins_can_be_removed(admin: Admin) -> None:
    with Store.open(admin.path) as store:
        ids = [store.credentials.add(CredentialRecord(token="env:A", cookies="env:B")).id for _ in range(2)]
    admin.credentials.remove(ids[0])
    assert [record.id for record in admin.credentials.list()] == [ids[1]]
