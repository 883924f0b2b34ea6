"""The fast way to a backend on asyncio: HTTP/1.1 on one protocol per connection, behind httpx's own interface.

`Transport` is an httpx transport; `Transport.pool_to(origin)` is the lane below httpx's objects, for `http.py`.
"""

from provider_router.providers.transport.connection import Connection
from provider_router.providers.transport.loop_end import LoopEnd
from provider_router.providers.transport.opening import Opening, opening
from provider_router.providers.transport.pool import Pool, Told, Waits
from provider_router.providers.transport.request import Head
from provider_router.providers.transport.transport import Origin, Transport, client_patched, shared_context

__all__ = [
    "Connection",
    "Head",
    "LoopEnd",
    "Opening",
    "Origin",
    "Pool",
    "Told",
    "Transport",
    "Waits",
    "client_patched",
    "opening",
    "shared_context",
]
