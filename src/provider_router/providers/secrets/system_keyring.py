"""The system's keyring, asked with a time limit: it may wait for a dialog that nobody sees."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from provider_router.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

WAIT: Final = 10.0  # seconds; long enough for somebody to unlock it

_INSTEAD: Final = "use env:, file: or another keeper instead"

T = TypeVar("T")


def password(service: str, name: str, *, time_limit: float = WAIT) -> str | None:
    """What the keyring has for a service and a name; None if it has nothing.

    Raises:
        ConfigError: the extra is missing, there is no keyring, or it does not answer in time.
    """
    found: str | None = _asked(lambda keyring: keyring.get_password(service, name), time_limit)
    return found


def set_password(service: str, name: str, text: str, *, time_limit: float = WAIT) -> None:
    """Give the keyring a text to keep.

    Raises:
        ConfigError: the extra is missing, there is no keyring, or it does not answer in time.
    """
    _asked(lambda keyring: keyring.set_password(service, name, text), time_limit)


def delete_password(service: str, name: str, *, time_limit: float = WAIT) -> None:
    """Let the keyring forget. Of what is not there, nothing is said.

    Raises:
        ConfigError: the extra is missing, there is no keyring, or it does not answer in time.
    """

    def delete(keyring: Any) -> None:
        # Backends do not agree on what they raise for something that is not there.
        if keyring.get_password(service, name) is not None:
            keyring.delete_password(service, name)

    _asked(delete, time_limit)


def _asked(ask: Callable[[ModuleType], T], time_limit: float) -> T:
    try:
        import keyring
        from keyring.errors import NoKeyringError
    except ImportError as error:
        raise ConfigError("keyring: needs an extra; install it: pip install 'provider-router[keyring]'") from error
    answers: list[T] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            answers.append(ask(keyring))
        except Exception as error:
            failed.append(error)

    # It cannot be interrupted; where it is too slow the thread is left behind.
    thread = threading.Thread(target=work, name="keyring", daemon=True)
    thread.start()
    thread.join(time_limit)
    if failed and isinstance(failed[0], NoKeyringError):
        raise ConfigError(f"this system has no keyring that can be used; {_INSTEAD}") from failed[0]
    if failed:
        reason = next(iter(str(failed[0]).splitlines()), "no reason given")
        raise ConfigError(f"the keyring cannot be used: {reason}; {_INSTEAD}") from failed[0]
    if not answers:
        raise ConfigError(f"the keyring did not answer within {time_limit:g} s; unlock it, or {_INSTEAD}")
    return answers[0]
