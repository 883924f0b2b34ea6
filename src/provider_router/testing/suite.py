"""ProviderSuite: what every provider type has to keep, as tests to inherit."""

from __future__ import annotations

from provider_router.testing.chat_rules import ChatRules
from provider_router.testing.declared_rules import DeclaredRules
from provider_router.testing.fault_rules import FaultRules
from provider_router.testing.life_rules import LifeRules
from provider_router.testing.secret_rules import SecretRules
from provider_router.testing.stream_rules import StreamRules
from provider_router.testing.type_rules import TypeRules


class ProviderSuite(TypeRules, ChatRules, StreamRules, FaultRules, DeclaredRules, SecretRules, LifeRules):
    """Subclass it as `Test…`, give it two fixtures, and its tests run on asyncio and trio.

    - `fake`: a fake of the type's backend, not started.
    - `make`: returns a provider of the type for a running fake (see `Make`).

    The suite starts the fake; a test of your own in the subclass gets the running one as `backend`, and a provider
    for it as `provider`. Each test is of a rule (see `RULES`), and says which one is broken.

    What does not apply is left out, with its reason: what the dialect has not, its fake says (`Fake.lacks`); the rest
    the subclass says (`exempt`), and where a fault means something else to the type (`means`).
    """
