"""Admins over a file in a temporary folder, with provider types of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from provider_router import home
from provider_router.configuration.admin import Admin
from provider_router.plugin import Provider, Secret, option
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import FileKeeper
from provider_router.store import ChangeRecord, Store


class Pelican(Provider):
    """A type with one option of every sort."""

    type = "pelican"

    class Config(Provider.Config):
        base_url: str = option(help="address of the nest", example="http://localhost:1234/v1", unit="url")
        api_key: Secret | None = option(None, help="key", sensitive=True)
        second_key: Secret | None = option(None, help="another key", sensitive=True)
        headers: Mapping[str, Secret] = option(factory=dict, help="headers", sensitive=True)
        tags: list[str] = option(factory=list, help="tags")


class Heron(Provider):
    """A type with nothing required but a secret."""

    type = "heron"

    class Config(Provider.Config):
        token: Secret = option(help="token", sensitive=True)
        base_url: str = option("http://localhost:3000", help="address", unit="url")


class Wren(Provider):
    """A type with nothing required."""

    type = "wren"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "provider-router.db"


@pytest.fixture
def plugins() -> Plugins:
    return Plugins([Pelican, Heron, Wren])


@pytest.fixture
def open_admin(path: Path, plugins: Plugins) -> Iterator[Callable[..., Admin]]:
    """Open an Admin on the test's file; all are closed at the end."""
    opened: list[Admin] = []

    def open_admin(*, types: Plugins | None = None, local: bool = True, who: str = "tests") -> Admin:
        opened.append(Admin(path, who=who, plugins=plugins if types is None else types, local=local))
        return opened[-1]

    yield open_admin
    for admin in opened:
        admin.close()


@pytest.fixture
def admin(open_admin: Callable[..., Admin]) -> Admin:
    return open_admin()


@pytest.fixture
def keeper(prouter_home: Path) -> FileKeeper:
    return FileKeeper(home.secrets_path())


@pytest.fixture
def changes(admin: Admin) -> Callable[[], tuple[ChangeRecord, ...]]:
    """Read the change records, oldest first."""

    def read() -> tuple[ChangeRecord, ...]:
        with Store.open(admin.path) as store:
            return store.changes.list()[::-1]

    return read


@pytest.fixture
def desk(admin: Admin) -> str:
    """A provider of the type pelican, without any secret."""
    return admin.providers.add("desk", type="pelican", config={"baseURL": "http://192.168.0.22:1234/v1"}).id
