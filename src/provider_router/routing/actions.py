"""What the failover machine tells its driver to do."""

from __future__ import annotations

from attrs import frozen

from provider_router.errors import ProviderRouterError
from provider_router.limits import Limits
from provider_router.routing.candidate import Candidate


@frozen
class Ask:
    """Make an upstream call to this candidate."""

    candidate: Candidate
    limits: Limits
    check_first: bool = False


@frozen
class Wait:
    """Do nothing for so many seconds, then feed `woke`.

    Attributes:
        slot: whether any slot that falls free ends it sooner.
        moved: whether a slot that was kept for this request is kept no more, so that the others in the line look again.
    """

    seconds: float
    slot: bool = False
    moved: bool = False


@frozen
class Check:
    """Ask the backend's cheap check beside the running call, for so many seconds at most; feed `checked`."""

    candidate: Candidate
    seconds: float


@frozen
class Abandon:
    """Break the running call off, then feed `failed` with this error."""

    error: ProviderRouterError


@frozen
class Answer:
    """The request is answered."""


@frozen
class Fail:
    """The request has failed: raise this."""

    error: ProviderRouterError


Action = Ask | Wait | Answer | Fail
