"""Config and its options: how a provider type declares them, and what is known of them at run time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, Final, Union, cast, dataclass_transform, get_args, get_origin, get_type_hints

import attrs
from attrs import NOTHING, frozen

from provider_router.limits import ROUTING, ZONES
from provider_router.providers.secrets import Secret

_OPTION: Final = "provider_router.option"


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
    zone: str | None = _routing("zone", choices=ZONES)
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
    """The options of a type: its own first, then those that every provider has.

    Raises:
        TypeError: a field is not declared as it has to be: a fault of the type's author.
        NameError: a field's annotation cannot be read at run time: another one.
    """
    return _described(cast(Any, cls))  # a class is hashable, whatever mypy thinks


@cache
def _described(cls: Any) -> tuple[OptionInfo, ...]:
    hints = get_type_hints(cls)
    infos = [_describe(field, hints[field.name]) for field in _fields(cls)]
    common = {field.name for field in _fields(Config)}
    return tuple(sorted(infos, key=lambda info: (info.field in common, not info.required)))


def _fields(cls: type[Config]) -> tuple[attrs.Attribute[Any], ...]:
    return attrs.fields(cls)  # type: ignore[arg-type,no-any-return,unused-ignore]


def _describe(field: attrs.Attribute[Any], hint: Any) -> OptionInfo:
    details = field.metadata.get(_OPTION)
    if details is None:
        raise TypeError(f"the option {field.name} has to be declared with option(help=…)")
    if details["sensitive"] != _is_secret(hint):
        raise TypeError(f"the option {field.name}: declare sensitive=True and annotate Secret, or neither")
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


def _plain(hint: Any) -> Any:
    """`str | None` → `str`."""
    if get_origin(hint) in (UnionType, Union):
        return next((part for part in get_args(hint) if part is not type(None)), hint)
    return hint


def _is_secret(hint: Any) -> bool:
    hint = _plain(hint)
    return hint is Secret or (_kind(hint) == "mapping" and Secret in get_args(hint))


def _kind(hint: Any) -> str:
    hint = _plain(hint)
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
