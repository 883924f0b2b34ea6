"""The one place of the contract's suite that knows what keeps the store. Another backend replaces these two fixtures.

A store lies at a place, which is a path here and could be an address: opening it again, from another thread or another
process, is opening the same store.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provider_router.store import Probe, Store


@pytest.fixture
def open_store() -> Callable[[Path], Store]:
    """Open the store at a place; one that is not there is created."""
    return Store.open


@pytest.fixture
def open_probe() -> Callable[[Path], Probe]:
    """A probe of the store at a place."""
    return Probe
