"""A provider type's options: declared once as a class, then checked, described, and translated to and from rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Final, Union, dataclass_transform, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit, urlunsplit

import attrs
from attrs import NOTHING, frozen

from provider_router.chat import decode
from provider_router.errors import InvalidConfig, MissingSecret
from provider_router.limits import ROUTING, duration_ms, parse_duration
from provider_router.providers.secrets import Secret, parse_reference
from provider_router.providers.secrets import resolve as resolve_reference

MASK: Final = "***"
MASKS: Final = frozenset({MASK, "***MASKED***"})
"""What a display shows in place of a secret. Written back, it never overwrites the value."""

_OPTION = "provider_router.option"
_MOMENT_MS = 100_000_000_000  # a time since 1970 above this is in milliseconds (it was 5138 in seconds)


@frozen(kw_only=True)
class OptionInfo:
    """One option, for people and forms.

    Attributes:
        name: outside Python (`baseURL`).
        field: in Python (`base_url`).
        kind: `text`, `integer`, `number`, `boolean`, `duration`, `url`, `moment`, `mapping`, `list` or `json`.
        env: the variable of the old world that held it.
        credentials: the credential set from which it is taken if it is not given.
    """

    name: str
    field: str
    kind: str
    required: bool
    default: Any = None
    sensitive: bool = False
    help: str = ""
    unit: str | None = None
    example: str | None = None
    env: str | None = None
    credentials: str | None = None
    choices: tuple[str, ...] = ()
    parse: Callable[[Any], Any] | None = None


def option(
    default: Any = NOTHING,
    *,
    help: str,
    name: str | None = None,
    factory: Callable[[], Any] | None = None,
    sensitive: bool = False,
    unit: str | None = None,
    example: str | None = None,
    env: str | None = None,
    credentials: str | None = None,
    choices: Sequence[str] = (),
    parse: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a field of a `Config` as an option.

    Args:
        default: its value if it is not given; without one, and without a factory, it is required.
        help: one phrase for people.
        name: outside Python, unless it follows from the field's (`base_url` → `baseURL`).
        factory: makes the default.
        sensitive: it is a secret: never shown, kept as a reference. Of a mapping, every value is.
        unit: `duration` for seconds that are milliseconds or text with a unit outside Python; `url` for an address;
            `moment` for a time that is seconds or milliseconds since 1970 outside Python.
        example: a value that could be.
        env: the variable of the old world that held it.
        credentials: the credential set from which it is taken if it is not given.
        choices: the only values there are.
        parse: checks and normalises a value; raises ValueError with a phrase.
    """
    details = {
        "help": help,
        "name": name,
        "sensitive": sensitive,
        "unit": unit,
        "example": example,
        "env": env,
        "credentials": credentials,
        "choices": tuple(choices),
        "parse": parse,
    }
    if factory is not None:
        return attrs.field(factory=factory, metadata={_OPTION: details})
    return attrs.field(default=default, metadata={_OPTION: details})


def _routing(name: str, **more: Any) -> Any:
    routing = ROUTING[name]
    return option(None, help=routing.help, unit="duration" if routing.duration else None, parse=routing.parse, **more)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
class Config:
    """The options of a provider. A subclass is a frozen, keyword-only attrs class by itself."""

    default_model: str | None = option(None, help="model to ask for where a request names none")
    timeout: float | None = _routing("timeout")
    connect_timeout: float | None = _routing("connectTimeout")
    first_token_timeout: float | None = _routing("firstTokenTimeout")
    idle_timeout: float | None = _routing("idleTimeout")
    check_after: float | None = _routing("checkAfter")
    upstream_stream: bool | None = _routing("upstreamStream")
    max_answer_bytes: int | None = _routing("maxAnswerBytes")
    max_parallel: int | None = _routing("maxParallel")
    zone: str | None = _routing("zone")
    open: bool | None = _routing("open")
    retry_after_max: float | None = _routing("retryAfterMax")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        attrs.frozen(kw_only=True, slots=False, eq=False)(cls)


attrs.frozen(kw_only=True, slots=False, eq=False)(Config)


def outside_name(field: str) -> str:
    """`base_url` → `baseURL`, `first_token_timeout` → `firstTokenTimeout`."""
    head, *rest = field.split("_")
    return head + "".join("URL" if word == "url" else word.capitalize() for word in rest)


def describe_config(cls: type[Config]) -> tuple[OptionInfo, ...]:
    """The options of a type: its own first, then those that every provider has."""
    hints = get_type_hints(cls)
    infos = [_describe(field, hints[field.name]) for field in _fields(cls)]
    common = {field.name for field in _fields(Config)}
    return tuple(sorted(infos, key=lambda info: (info.field in common, not info.required)))


def _fields(cls: type[Config]) -> tuple[attrs.Attribute[Any], ...]:
    return attrs.fields(cls)  # type: ignore[arg-type,no-any-return,unused-ignore]


def _describe(field: attrs.Attribute[Any], hint: Any) -> OptionInfo:
    details = field.metadata.get(_OPTION, {})
    default: Any = field.default
    required = default is NOTHING
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    return OptionInfo(
        **{name: value for name, value in details.items() if name != "name"},
        name=details.get("name") or outside_name(field.name),
        field=field.name,
        kind=details.get("unit") or _kind(hint),
        required=required,
        default=None if required else default,
    )


def _kind(hint: Any) -> str:
    if get_origin(hint) in (UnionType, Union):
        hint = next((part for part in get_args(hint) if part is not type(None)), hint)
    origin = get_origin(hint) or hint
    if origin in (str, Secret):
        return "text"
    plain = {bool: "boolean", int: "integer", float: "number", datetime: "moment"}
    if origin in plain:
        return plain[origin]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return "list"
    return "json"


# Reading values


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
        case "mapping" | "list" | "json":
            try:
                return decode(text)
            except ValueError:
                raise ValueError(f"{text!r} is no JSON") from None
    return text


def canonical(cls: type[Config], values: Mapping[str, object]) -> dict[str, object]:
    """The values as the store keeps them, under the names that options have outside Python.

    Durations are integer milliseconds, addresses end without a slash. Masks are left out: they stand for what is
    there already.

    Raises:
        InvalidConfig: with every problem at once.
    """
    problems: list[str] = []
    kept = dict(_canonical(cls, values, problems))
    if problems:
        raise InvalidConfig("the options are not valid:", problems)
    return kept


def check_config(cls: type[Config], values: Mapping[str, object]) -> tuple[str, ...]:
    """Every problem of these values, taken as the whole configuration; secrets are not looked up."""
    problems: list[str] = []
    given = {name for name, _ in _canonical(cls, values, problems)}
    named = {problem.partition(":")[0] for problem in problems}
    for info in describe_config(cls):
        if info.required and info.name not in given | named and not info.credentials:
            example = f", such as {info.example}" if info.example else ""
            problems.append(f"{info.name}: is required ({info.help}{example})")
    return tuple(problems)


def build_config(
    cls: type[Config],
    values: Mapping[str, object],
    *,
    options: Mapping[str, object] | None = None,
    resolve: Callable[[str], Secret] | None = None,
    whose: str = "",
) -> Any:
    """The typed configuration.

    Args:
        cls: the type's `Config`.
        values: as in the store or in `config={…}`: either spelling, durations in milliseconds or with a unit.
        options: as Python spells them; durations in seconds.
        resolve: looks references up; `env:`, `file:`, `keyring:` and `cmd:` unless given.
        whose: the provider's id, for messages.

    Raises:
        InvalidConfig: with every problem at once.
        MissingSecret: a reference leads nowhere.
    """
    infos = {info.field: info for info in describe_config(cls)}
    merged: dict[str, object] = dict(values)
    problems: list[str] = []
    for field, value in (options or {}).items():
        info = infos.get(field)
        if info is None:
            problems.append(_unknown(field, [*infos], spelled=field))
        elif value is not None:
            merged.pop(info.name, None)
            merged[field] = _outward(info, value)
    problems += check_config(cls, merged)
    if problems:
        raise InvalidConfig(f"the options of {whose or 'the provider'} are not valid:", problems)
    by_name = {info.name: info for info in infos.values()}
    ready: dict[str, Any] = {}
    for name, value in canonical(cls, merged).items():
        info = by_name[name]
        try:
            ready[info.field] = _inward(info, value, resolve or resolve_reference)
        except MissingSecret as error:
            raise MissingSecret(f"{whose or 'provider'}, option {info.name}: {error}") from None
    return cls(**ready)


def shown(cls: type[Config], values: Mapping[str, object]) -> dict[str, object]:
    """Stored values for a display: secrets as `***`, references to the environment or a file as they are."""
    infos = {info.name: info for info in describe_config(cls)}
    result: dict[str, object] = {}
    for name, value in values.items():
        info = infos.get(name)
        if info is None or not info.sensitive:
            result[name] = value
        elif isinstance(value, Mapping):
            result[name] = {key: _masked(item) for key, item in value.items()}
        else:
            result[name] = _masked(value)
    return result


def _masked(value: object) -> str:
    reference = parse_reference(value) if isinstance(value, str) else None
    return str(reference) if reference and reference.scheme in ("env", "file", "keyring") else MASK


def _canonical(cls: type[Config], values: Mapping[str, object], problems: list[str]) -> Iterator[tuple[str, object]]:
    infos = describe_config(cls)
    by_name = {info.name: info for info in infos} | {info.field: info for info in infos}
    seen: set[str] = set()
    for name, value in values.items():
        info = by_name.get(name)
        if info is None:
            problems.append(_unknown(name, [info.name for info in infos], spelled=name))
            continue
        if info.name in seen:
            problems.append(f"{info.name}: is given twice, also as {info.field}")
            continue
        seen.add(info.name)
        if value is None or (info.sensitive and isinstance(value, str) and value in MASKS):
            continue
        try:
            yield info.name, _checked(info, value)
        except ValueError as error:
            problems.append(f"{info.name}: {error}")


def _unknown(name: str, known: Sequence[str], *, spelled: str) -> str:
    folded = {re.sub(r"[^a-z0-9]", "", other.lower()): other for other in known}
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    near = [folded[key]] if key in folded else difflib.get_close_matches(name, known, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known[:12])}"
    return f"{spelled}: unknown option{hint}"


def _checked(info: OptionInfo, value: object) -> object:
    """A value as the store keeps it."""
    if info.sensitive:
        return _checked_secret(info, value)
    if info.kind == "duration":
        return duration_ms(parse_duration(value))
    if info.parse is not None:
        value = info.parse(value)
    expected: dict[str, tuple[type, ...]] = {
        "text": (str,),
        "url": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "mapping": (Mapping,),
        "list": (list, tuple),
    }
    words = {
        "text": "a text",
        "url": "an address",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "mapping": "a mapping",
        "list": "a list",
    }
    if info.kind in expected and (
        not isinstance(value, expected[info.kind]) or (isinstance(value, bool) and info.kind != "boolean")
    ):
        raise ValueError(f"has to be {words[info.kind]}, not {value!r}")
    if info.kind == "url":
        value = _address(str(value))
    if info.kind == "moment":
        value = _moment_ms(value)
    if info.kind == "text" and not str(value).strip():
        raise ValueError("is empty")
    if info.choices and value not in info.choices:
        raise ValueError(f"{value!r} is not one of {', '.join(info.choices)}")
    return value


def _checked_secret(info: OptionInfo, value: object) -> object:
    if info.kind == "mapping":
        if not isinstance(value, Mapping):
            raise ValueError("has to be a mapping")
        return {str(key): _secret_text(item, f"{key} ") for key, item in value.items()}
    return _secret_text(value)


def _secret_text(value: object, what: str = "") -> object:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ValueError(f"{what}has to be a text, not {type(text).__name__}")
    if not text.strip():
        raise ValueError(f"{what}is empty")
    if any(ord(character) < 32 for character in text):
        raise ValueError(f"{what}holds a line break or another control character")
    return value


def _address(text: str) -> str:
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError("is no address; write http://host:port/path") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("has to begin with http:// or https://")
    if not parts.hostname or port == 0:
        raise ValueError("names no host; write http://host:port/path")
    if parts.username or parts.password:
        raise ValueError("must hold no user and password; give them as a secret option")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path: no ? and no #")
    if any(character.isspace() for character in text.strip()):
        raise ValueError("must hold no space")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _moment_ms(value: object) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no time; write 2027-01-31T12:00:00+00:00 or seconds since 1970") from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ValueError(f"{value!r} is no time; write seconds or milliseconds since 1970")
    return int(value if value >= _MOMENT_MS else value * 1000)


def _outward(info: OptionInfo, value: object) -> object:
    """A value as Python has it, as the outside would write it."""
    if info.kind == "duration":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return f"{duration_ms(value)}ms"
    return value


def _inward(info: OptionInfo, value: Any, resolve: Callable[[str], Secret]) -> Any:
    """A stored value as Python has it."""
    if info.sensitive and isinstance(value, Mapping):
        return {name: _secret(item, resolve) for name, item in value.items()}
    if info.sensitive:
        return _secret(value, resolve)
    if info.kind == "duration":
        return value / 1000
    if info.kind == "moment":
        return datetime.fromtimestamp(value / 1000, UTC)
    return value


def _secret(value: Secret | str, resolve: Callable[[str], Secret]) -> Secret:
    if isinstance(value, Secret):
        return value
    return resolve(value) if parse_reference(value) else Secret(value)
