"""A provider type's options: declared once as a class, then checked, described, and translated to and from rows."""

from provider_router.providers.config.building import build_config, canonical, check_config, shown
from provider_router.providers.config.declaration import Config, OptionInfo, describe_config, option, outside_name
from provider_router.providers.config.values import fetch_secret, parse_moment, parse_option
from provider_router.providers.secrets import MASK, MASKS

__all__ = [
    "MASK",
    "MASKS",
    "Config",
    "OptionInfo",
    "build_config",
    "canonical",
    "check_config",
    "describe_config",
    "fetch_secret",
    "option",
    "outside_name",
    "parse_moment",
    "parse_option",
    "shown",
]
