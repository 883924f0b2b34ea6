"""Lending: the login that providers share, handed to those whose type asks for it, and to no other address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from provider_router.configuration.draft import origin
from provider_router.providers.config import Config, describe_config
from provider_router.store import CredentialRecord


def with_login(
    config: type[Config], values: Mapping[str, object], logins: Sequence[CredentialRecord], *, at: datetime
) -> dict[str, object]:
    """A provider's options, and from the login what its type takes from there and the provider does not have itself.

    The login is lent to the type's own address only: whoever may change addresses, and no more, could else have it
    sent to any host. A provider with another address gets the options themselves.

    Args:
        config: the options' declarations.
        values: as they are stored, by names outside Python.
        logins: the newest first.
        at: the instant; one that has expired is lent only where there is no other, so that the reason can be told.
    """
    infos = describe_config(config)
    taken = [info for info in infos if info.credentials == "qwen"]
    at_home = all(
        info.default is not None and origin(values.get(info.name, info.default)) == origin(info.default)
        for info in infos
        if info.kind == "url"
    )
    # Of two logins nothing is mixed: a provider that has a part of its own has all of its own.
    if not at_home or any(info.name in values for info in taken):
        return dict(values)
    login = next((one for one in logins if one.expires_at is None or one.expires_at > at), next(iter(logins), None))
    lent = {info.name: getattr(login, info.field, None) for info in taken}
    return {**values, **{name: value for name, value in lent.items() if value is not None}}
