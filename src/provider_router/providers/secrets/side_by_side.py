"""Side by side: what takes long to be had, a command's secrets and the keyring's, is fetched all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final, TypeVar

from provider_router.errors import ConfigError
from provider_router.providers.secrets.reference import Reference

T = TypeVar("T")

SLOW: Final = ("cmd:", "keyring:")
_AT_ONCE: Final = 16


def side_by_side(
    references: Iterable[Reference], fetch: Callable[[Reference], T], *, time_limit: float | None
) -> dict[Reference, Future[T]]:
    """Fetch each of some references once.

    Args:
        references: which; a few may be the same.
        fetch: fetches one, in a thread of its own.
        time_limit: longest wait for all of them, in seconds.

    Returns:
        What came of each; of those that were not there in time a ConfigError. None of it has to be waited for.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        asked = {reference: pool.submit(fetch, reference) for reference in dict.fromkeys(references)}
        done, _ = wait(asked.values(), timeout=time_limit)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {reference: future if future in done else _too_late() for reference, future in asked.items()}


def _too_late() -> Future[T]:
    future: Future[T] = Future()
    future.set_exception(ConfigError("it was not there in time; does it wait for somebody?"))
    return future
