"""One value of an option: read from a command line, checked, and translated between Python and the outside."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from provider_router.chat import decode
from provider_router.errors import ConfigError
from provider_router.limits import duration_ms, parse_duration
from provider_router.providers.config.declaration import OptionInfo
from provider_router.providers.secrets import MASKS, Reference, Secret, parse_reference

_MOMENT_MS: Final = 100_000_000_000  # a time since 1970 above this is in milliseconds (it was 5138 in seconds)
_LAST_MOMENT_MS: Final = 253_402_300_799_999  # the end of the year 9999, the last that Python can say

_EXPECTED: Final[Mapping[str, tuple[str, tuple[type, ...]]]] = {
    "text": ("a text", (str,)),
    "url": ("an address", (str,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", (bool,)),
    "mapping": ("a mapping", (Mapping,)),
    "list": ("a list of texts", (list, tuple)),
}


def parse_option(info: OptionInfo, text: str) -> object:
    """A command line's text as the typed value of an option.

    Raises:
        ValueError: with a phrase that says what is wrong.
    """
    match info.kind:
        case "boolean":
            if text.lower() in ("true", "yes", "on", "1"):
                return True
            if text.lower() in ("false", "no", "off", "0"):
                return False
            raise ValueError(f"{text!r} is neither true nor false")
        case "integer":
            if not re.fullmatch(r"\s*-?\d+\s*", text):
                raise ValueError(f"{text!r} is no whole number")
            return int(text)
        case "number":
            try:
                return float(text)
            except ValueError:
                raise ValueError(f"{text!r} is no number") from None
        case "moment" if re.fullmatch(r"\d+", text):
            return int(text)
        case "mapping" if not text.lstrip().startswith("{"):
            name, equals, value = text.partition("=")
            if not equals or not name.strip():
                raise ValueError("write NAME=VALUE, or JSON")  # the text may hold a secret
            return {name.strip(): value}
        case "list" if not text.lstrip().startswith("["):
            return [part.strip() for part in text.split(",")]
        case "mapping" | "list" | "json":
            try:
                return decode(text)
            except ValueError:
                raise ValueError("this is no JSON") from None
    return text


def parse_moment(text: str) -> datetime:
    """A command line's text as a moment: ISO 8601, in UTC where it names no zone, or (milli)seconds since 1970.

    Raises:
        ValueError: with a phrase that says what is wrong.
    """
    return datetime.fromtimestamp(_moment_ms(int(text) if re.fullmatch(r"\d+", text) else text) / 1000, UTC)


def checked(info: OptionInfo, value: object, faults: list[str]) -> object:
    """A value as the store keeps it; what is wrong with it goes to `faults`."""
    try:
        if info.sensitive:
            return _checked_secret(info, value, faults)
        if info.kind == "duration":
            return max(1, duration_ms(parse_duration(value)))
        value = _of_its_kind(info, value)
        if info.parse is not None:
            value = info.parse(value)
        if info.choices and value not in info.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(info.choices)}")
    except ValueError as error:
        faults.append(f"{info.name}: {error}")
    return value


def _of_its_kind(info: OptionInfo, value: object) -> object:
    if info.kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)  # in JSON, 5.0 is an integer
    words, types = _EXPECTED.get(info.kind, ("", (object,)))
    if not isinstance(value, types) or (isinstance(value, bool) and types in ((int,), (int, float))):
        raise ValueError(f"has to be {words}, not {_brief(value)}")
    match info.kind:
        case "url":
            return _address(str(value))
        case "moment":
            return _moment_ms(value)
        case "text" if not str(value).strip():
            raise ValueError("is empty")
        case "number" if not math.isfinite(cast(float, value)):
            raise ValueError(f"{value!r} is no number")
        case "list":
            texts = tuple(cast(Sequence[object], value))
            if not all(isinstance(item, str) for item in texts):
                raise ValueError(f"has to be a list of texts, not {_brief(value)}")
            return texts
        case "mapping" | "json":
            try:
                json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
            except (TypeError, ValueError):
                raise ValueError("holds what JSON does not know") from None
    return value


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _checked_secret(info: OptionInfo, value: object, faults: list[str]) -> object:
    if info.kind == "mapping":
        if not isinstance(value, Mapping):
            raise ValueError("has to be a mapping: NAME=VALUE, or JSON")
        items = {str(key): item for key, item in value.items() if not (isinstance(item, str) and item in MASKS)}
        for key, item in items.items():
            if problem := _secret_problem(item):
                faults.append(f"{info.name}.{key}: {problem}")
        return items
    if problem := _secret_problem(value):
        raise ValueError(problem)
    return value


def _secret_problem(value: object) -> str:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        return "has to be a text"
    if not text.strip():
        return "is empty"
    if any(ord(character) < 32 for character in text):
        return "holds a line break or another control character"
    reference = parse_reference(text) if isinstance(value, str) else None
    return reference.problem if reference else ""


def _address(text: str) -> str:
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError("is no address; write http://host:port/path") from None
    # The text itself is not shown: it may hold a password.
    if parts.scheme not in ("http", "https"):
        raise ValueError("has to begin with http:// or https://, as in http://localhost:1234/v1")
    if not parts.hostname or port == 0:
        raise ValueError("names no host; write http://host:port/path")
    if "@" in parts.netloc:
        raise ValueError("must hold no user and password; give them as a secret option")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path: no ? and no #")
    if any(character.isspace() or ord(character) < 32 for character in text.strip()):
        raise ValueError("must hold no space")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _moment_ms(value: object) -> int:
    fault = f"{value!r} is no time; write 2027-01-31T12:00:00+00:00, or seconds or milliseconds since 1970"
    if isinstance(value, bool) or not isinstance(value, datetime | str | int | float):
        raise ValueError(fault)
    if isinstance(value, int | float):
        milliseconds = value if value >= _MOMENT_MS else value * 1000
    else:
        try:
            instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(fault) from None
        milliseconds = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000
    if not 0 < milliseconds <= _LAST_MOMENT_MS:
        raise ValueError(fault)
    return round(milliseconds)


def outward(info: OptionInfo, value: object) -> object:
    """A value as Python has it, as the outside would write it."""
    if info.kind == "duration":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return value
        return f"{duration_ms(value)}ms"
    return value


def inward(info: OptionInfo, value: Any, resolve: Callable[[Reference], Secret]) -> Any:
    """A stored value as Python has it."""
    if info.sensitive and isinstance(value, Mapping):
        return {name: fetch_secret(item, resolve) for name, item in value.items()}
    if info.sensitive:
        return fetch_secret(value, resolve)
    if info.kind == "duration":
        return value / 1000
    if info.kind == "moment":
        return datetime.fromtimestamp(value / 1000, UTC)
    return value


def fetch_secret(value: Secret | str, resolve: Callable[[Reference], Secret]) -> Secret:
    """The secret that a stored value is or leads to.

    Raises:
        MissingSecret: a reference leads nowhere.
        ConfigError: it leads to what cannot be read, or is no secret.
    """
    if isinstance(value, Secret):
        return value
    reference = parse_reference(value)
    if reference is None:
        return Secret(value)
    secret = resolve(reference)
    if problem := _secret_problem(secret):
        raise ConfigError(f"what {reference.scheme}: leads to {problem}")
    return secret
