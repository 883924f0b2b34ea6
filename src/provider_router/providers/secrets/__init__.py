"""Secrets: values that are never shown, references that say where they lie, and who keeps them."""

from provider_router.providers.secrets.file_keeper import FileKeeper
from provider_router.providers.secrets.reference import SCHEMES, Keeper, Reference, parse_reference, resolve
from provider_router.providers.secrets.secret import MASK, MASKS, Secret, mask_text

__all__ = [
    "MASK",
    "MASKS",
    "SCHEMES",
    "FileKeeper",
    "Keeper",
    "Reference",
    "Secret",
    "mask_text",
    "parse_reference",
    "resolve",
]
