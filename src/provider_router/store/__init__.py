"""What is kept: the configuration's database and the history's. The one door to SQLite."""

from provider_router.store.configuration import Configuration
from provider_router.store.file import exists
from provider_router.store.health_notes import HealthNoteRecord
from provider_router.store.history import History
from provider_router.store.keepers import KEEPER_SETTING, KEEPERS, open_keepers
from provider_router.store.probe import Probe
from provider_router.store.records import (
    ChangeRecord,
    CredentialRecord,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    ProviderRecord,
    SettingRecord,
    now,
    record_of,
    row_of,
)
from provider_router.store.sealed import Rotated, new_key
from provider_router.store.store import Store
from provider_router.store.values import Json, Kind, kind_of

__all__ = [
    "Store",
    "exists",
    "History",
    "HealthNoteRecord",
    "Configuration",
    "KEEPERS",
    "KEEPER_SETTING",
    "open_keepers",
    "Rotated",
    "new_key",
    "Probe",
    "ProviderRecord",
    "OptionRecord",
    "ModelRecord",
    "LinkRecord",
    "SettingRecord",
    "CredentialRecord",
    "ChangeRecord",
    "Json",
    "Kind",
    "kind_of",
    "now",
    "record_of",
    "row_of",
]
