"""What can go wrong, as exceptions that say what happens next.

    ProviderRouterError
    ├── ConfigError                 something is configured wrongly, or is not there
    │   ├── UnknownProvider  UnknownProviderType  UnknownModel
    │   ├── AlreadyExists
    │   ├── InvalidConfig           .problems: every fault of a configuration at once
    │   ├── MissingSecret           a secret that cannot be had
    │   ├── DeclaredConfig          it comes from a file that PROUTER_CONFIG names, and cannot be changed here
    │   └── PluginLoadError
    ├── StoreError                  the database file itself
    │   └── NewerDatabase  DatabaseLocked  ForeignDatabase  CorruptDatabase  DatabaseNotWritable
    ├── NoCandidates                nobody is left to ask: .skipped .retry_after .attempts
    ├── DeadlineExceeded            the caller's total time is up: .attempts .skipped
    └── ProviderError               a backend failed: .provider .model .failure .status .retry_after .attempts
        ├── Unreachable             connect             ├── ModelUnavailable      model_unavailable
        ├── ConnectionLost          reset               ├── NotCapable            capability
        ├── ProviderTimeout         timeout             ├── ContextTooLong        context_length
        ├── Busy                    busy                ├── ContentRefused        content_policy
        ├── ServerFault             server              ├── RequestRejected       bad_request
        ├── RateLimited             rate_limit          ├── MalformedAnswer       malformed
        ├── QuotaExceeded           quota               ├── ProviderCrashed       crashed
        ├── AuthenticationFailed    auth                └── StreamInterrupted     truncated, stalled: .text
        └── (one subclass for each failure class)

Messages are for the person at the terminal: what happened, to whom, what to do. They hold no secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provider_router.trail import Attempt, Skipped


class Failure(StrEnum):
    """The failure classes. What each one drives is the table in `routing/table.py`."""

    CONNECT = "connect"
    RESET = "reset"
    TIMEOUT = "timeout"
    BUSY = "busy"
    SERVER = "server"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    AUTH = "auth"
    MODEL_UNAVAILABLE = "model_unavailable"
    CAPABILITY = "capability"
    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"
    BAD_REQUEST = "bad_request"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    STALLED = "stalled"
    CANCELLED = "cancelled"
    CRASHED = "crashed"


class ProviderRouterError(Exception):
    """Whatever this library raises on purpose.

    Attributes:
        request_id: under which the history keeps the request that failed so; "" where it is not about a request.
    """

    request_id: str = ""


class ConfigError(ProviderRouterError):
    """Something is configured wrongly, or is not there."""


class UnknownProvider(ConfigError):
    """No provider has this id."""


class UnknownProviderType(ConfigError):
    """No installed plugin offers this provider type."""


class UnknownModel(ConfigError):
    """No provider serves this model and none takes any name."""


class AlreadyExists(ConfigError):
    """An id or a name that must be the only one of its kind is taken."""


class InvalidConfig(ConfigError):
    """A configuration with faults.

    Attributes:
        problems: every fault, each a sentence that begins with the field it is about.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))


class MissingSecret(ConfigError):
    """A secret cannot be had: the variable is not set, the file is not there, the keyring does not answer."""


class DeclaredConfig(ConfigError):
    """The configuration comes from a declarative file: whoever wants to change it edits that file."""


class PluginLoadError(ConfigError):
    """A plugin could not be loaded."""


class StoreError(ProviderRouterError):
    """The database file cannot be used."""


class NewerDatabase(StoreError):
    """The database was made by a newer version of this library."""


class DatabaseLocked(StoreError):
    """Another process holds the database for longer than we wait."""


class ForeignDatabase(StoreError):
    """The file is a database, but of another program."""


class CorruptDatabase(StoreError):
    """The file is damaged, or no database at all."""


class DatabaseNotWritable(StoreError):
    """The file or its folder cannot be written."""


class NoCandidates(ProviderRouterError):
    """Nobody is left to ask.

    Attributes:
        skipped: who was left out, and why.
        retry_after: seconds until somebody may be asked again, if that is known.
        attempts: what was tried before.
    """

    def __init__(
        self,
        message: str,
        *,
        skipped: Sequence[Skipped] = (),
        retry_after: float | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        super().__init__(message)
        self.skipped = tuple(skipped)
        self.retry_after = retry_after
        self.attempts = tuple(attempts)


class DeadlineExceeded(ProviderRouterError):
    """The caller's total time is up.

    Attributes:
        attempts: what was tried in that time.
        skipped: who was left out of the plan, when the Router raises it.
    """

    def __init__(self, message: str, *, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)
        self.skipped: tuple[Skipped, ...] = ()


class ProviderError(ProviderRouterError):
    """A backend failed.

    Attributes:
        failure: the failure class, which decides what the Router does next.
        provider: id of the provider, filled in by the Router where the plugin left it out.
        model: the model as that provider calls it.
        status: HTTP status of the backend's answer, if there was one.
        code: the backend's own error code, if it gave one.
        retry_after: seconds that the backend asked to be left alone, if it did.
        detail: the failure in a word or two, for the trail.
        attempts: every attempt of the request, when the Router raises it.
        skipped: who was left out of the plan, when the Router raises it.
    """

    failure: Failure = Failure.SERVER

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str | None = None,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.detail = detail
        self.attempts: tuple[Attempt, ...] = ()
        self.skipped: tuple[Skipped, ...] = ()

    @property
    def message(self) -> str:
        """The text alone, without the notes."""
        return str(self.args[0])


class Unreachable(ProviderError):
    """No connection: DNS, refused, unreachable, TLS, or no answer to the connect."""

    failure = Failure.CONNECT


class ConnectionLost(ProviderError):
    """The connection ended before the first byte of an answer."""

    failure = Failure.RESET


class ProviderTimeout(ProviderError):
    """Silent for longer than its limit, and not known to be alive."""

    failure = Failure.TIMEOUT


class Busy(ProviderError):
    """Alive, but not free: every slot is taken, a model is loading, or the queue is full."""

    failure = Failure.BUSY


class ServerFault(ProviderError):
    """The backend says that it failed (500, 502, 504, …)."""

    failure = Failure.SERVER


class RateLimited(ProviderError):
    """Too many requests (429, or 503 with Retry-After)."""

    failure = Failure.RATE_LIMIT


class QuotaExceeded(ProviderError):
    """The account's money or allowance is used up."""

    failure = Failure.QUOTA


class AuthenticationFailed(ProviderError):
    """The backend does not accept the credentials (401, 403)."""

    failure = Failure.AUTH


class ModelUnavailable(ProviderError):
    """The backend does not have this model, or has none loaded."""

    failure = Failure.MODEL_UNAVAILABLE


class NotCapable(ProviderError):
    """The backend cannot do what the request asks: a parameter, a modality, an endpoint."""

    failure = Failure.CAPABILITY


class ContextTooLong(ProviderError):
    """The prompt does not fit the model's context window."""

    failure = Failure.CONTEXT_LENGTH


class ContentRefused(ProviderError):
    """The backend's content policy refused the request."""

    failure = Failure.CONTENT_POLICY


class RequestRejected(ProviderError):
    """The request itself is wrong (400, 404, 413, 422)."""

    failure = Failure.BAD_REQUEST


class MalformedAnswer(ProviderError):
    """An answer that is none: broken JSON, HTML, an empty stream, a body cut short."""

    failure = Failure.MALFORMED


class ProviderCrashed(ProviderError):
    """The plugin raised something that is no `ProviderError`: a fault in its code."""

    failure = Failure.CRASHED


class StreamInterrupted(ProviderError):
    """A stream ended or fell silent after text had been handed to the caller.

    Attributes:
        text: what had been handed out until then.
    """

    failure = Failure.TRUNCATED

    def __init__(
        self,
        message: str,
        *,
        failure: Failure = Failure.TRUNCATED,
        text: str = "",
        provider: str = "",
        model: str | None = None,
        status: int | None = None,
        code: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, provider=provider, model=model, status=status, code=code, detail=detail)
        self.failure = failure
        self.text = text


_LEAVES: dict[Failure, type[ProviderError]] = {
    leaf.failure: leaf
    for leaf in (
        Unreachable,
        ConnectionLost,
        ProviderTimeout,
        Busy,
        ServerFault,
        RateLimited,
        QuotaExceeded,
        AuthenticationFailed,
        ModelUnavailable,
        NotCapable,
        ContextTooLong,
        ContentRefused,
        RequestRejected,
        MalformedAnswer,
        ProviderCrashed,
    )
}


def error_class(failure: Failure) -> type[ProviderError]:
    """The exception of a failure class that can happen before commit.

    Raises:
        KeyError: for `truncated`, `stalled` and `cancelled`, which have no such exception.
    """
    return _LEAVES[failure]
