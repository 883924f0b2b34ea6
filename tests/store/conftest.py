"""A store in a temporary folder, and how it is opened: what another backend would replace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provider_router.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "provider-router.db"


@pytest.fixture
def open_store() -> Callable[[Path], Store]:
    return Store.open


@pytest.fixture
def store(open_store: Callable[[Path], Store], path: Path) -> Iterator[Store]:
    with open_store(path) as store:
        yield store
