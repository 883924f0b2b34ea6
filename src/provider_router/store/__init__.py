"""What is kept: the configuration's database and the history's. The one door to SQLite."""

from provider_router.store.backup import Progress, backup, backup_path, backups
from provider_router.store.configuration import Configuration
from provider_router.store.file import exists
from provider_router.store.health_notes import HealthNoteRecord
from provider_router.store.history import History
from provider_router.store.history_schema import HISTORY
from provider_router.store.inspection import Fault, damages, inspect, schema_of
from provider_router.store.keepers import KEEPER_SETTING, KEEPERS, open_keepers
from provider_router.store.migrations import CONFIGURATION, Schema
from provider_router.store.past import NOUNS, Kept, Replaced, configuration_of, key_of, records_of
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
from provider_router.store.restoring import overwrite, readable, set_aside
from provider_router.store.sealed import Rotated, new_key
from provider_router.store.store import Store
from provider_router.store.values import Json, Kind, kind_of

__all__ = [
    "Store",
    "exists",
    "backup",
    "backup_path",
    "backups",
    "Progress",
    "inspect",
    "damages",
    "schema_of",
    "readable",
    "overwrite",
    "set_aside",
    "Fault",
    "Schema",
    "CONFIGURATION",
    "HISTORY",
    "History",
    "HealthNoteRecord",
    "Configuration",
    "KEEPERS",
    "KEEPER_SETTING",
    "open_keepers",
    "Rotated",
    "new_key",
    "configuration_of",
    "records_of",
    "key_of",
    "NOUNS",
    "Kept",
    "Replaced",
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
