"""All keepers of a configuration as one: the file, the system's keyring, and the database itself."""

from __future__ import annotations

from typing import Final

from provider_router import home
from provider_router.providers.secrets import FileKeeper, Keepers, KeyringKeeper
from provider_router.store.store import Store

KEEPER_SETTING: Final = "secrets.keeper"
KEEPERS: Final = ("file", "keyring", "sealed")


def open_keepers(store: Store) -> Keepers:
    """The keepers; the setting `secrets.keeper` of the store says which one takes new secrets."""

    def chosen() -> str:
        record = store.settings.get(KEEPER_SETTING)
        return KEEPERS[0] if record is None else str(record.value)

    # The keyring last: it may be slow, and keeps nobody waiting who can be served without it.
    return Keepers(
        (FileKeeper(home.secrets_path()), store.sealed, KeyringKeeper(home.keyring_list_path())), chosen=chosen
    )
