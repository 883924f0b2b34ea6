"""Secrets: values that are never shown, references that say where they lie, and who keeps them."""

from provider_router.providers.secrets.file_keeper import FileKeeper
from provider_router.providers.secrets.keeper import BIN, Keeper, Kept
from provider_router.providers.secrets.keepers import Keepers, Moved
from provider_router.providers.secrets.keyring_keeper import KeyringKeeper
from provider_router.providers.secrets.reference import SCHEMES, Reference, parse_reference, resolve
from provider_router.providers.secrets.secret import MASK, MASKS, Secret, mask_text
from provider_router.providers.secrets.side_by_side import SLOW, side_by_side

__all__ = [
    "BIN",
    "MASK",
    "MASKS",
    "SCHEMES",
    "SLOW",
    "FileKeeper",
    "Keeper",
    "Keepers",
    "Kept",
    "KeyringKeeper",
    "Moved",
    "Reference",
    "Secret",
    "mask_text",
    "parse_reference",
    "resolve",
    "side_by_side",
]
