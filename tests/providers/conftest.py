"""A keyring of the tests' own, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

Passwords = dict[tuple[str, str], "str | Exception | threading.Event"]


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """What the keyring holds, by service and name; an error to raise, an event to wait for."""
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    held: Passwords = {}

    class InMemory(KeyringBackend):  # type: ignore[misc]
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            match held.get((service, username)):
                case Exception() as error:
                    raise error
                case threading.Event() as unlocked:
                    unlocked.wait(10)
                    return None
                case found:
                    return found

        def set_password(self, service: str, username: str, password: str) -> None:
            if isinstance(error := held.get((service, "set")), Exception):
                raise error
            held[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del held[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())
    yield held
    keyring.set_keyring(before)
