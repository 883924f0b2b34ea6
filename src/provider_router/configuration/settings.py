"""Settings: values of the whole router, and where each value in force comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal, cast

from attrs import frozen

from provider_router.configuration.durations import kept_duration
from provider_router.configuration.editor import Editor
from provider_router.configuration.names import near_miss, unknown_provider
from provider_router.errors import ConfigError, InvalidConfig
from provider_router.home import routing_environment
from provider_router.limits import ROUTING, RoutingOption, parse_duration
from provider_router.store import KEEPER_SETTING, KEEPERS, Json, SettingRecord

ACTIVE_PROVIDER: Final = "active_provider"


@frozen(kw_only=True)
class SettingInfo:
    """A setting that there is: what it means, what it is unless set, and how its value is read.

    `used` says whether this version reads it; the others are kept for what will.
    """

    key: str
    help: str
    parse: Callable[[object], Json]
    default: Json = None
    variable: str | None = None
    used: bool = True


@frozen(kw_only=True)
class Setting:
    """A setting's value in force, and where it comes from.

    Attributes:
        value: as it is kept: durations are integer milliseconds, or text with a unit below a second.
        source: the nearest place that says it.
        variable: the environment variable that goes before the setting, if there is one.
        kept: the value in the database, which the environment may hide; None if it is not set.
        used: whether this version reads it at all.
    """

    key: str
    value: Json
    source: Literal["environment", "setting", "default"]
    help: str
    default: Json
    variable: str | None = None
    kept: Json = None
    updated_at: datetime | None = None
    used: bool = True


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"{value!r} has to be one line of text that is not empty")
    return value.strip()


def _port(value: object) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"{value!r} is no port; ports are 1 to 65535")
    return value


def _level(value: object) -> str:
    level = str(value).strip().lower()
    level = {"warning": "warn"}.get(level, level)
    if level not in ("debug", "info", "warn", "error"):
        raise ValueError(f"{value!r} is not one of debug, info, warn, error")
    return level


def _keeper(value: object) -> str:
    if value not in KEEPERS:
        raise ValueError(f"{value!r} is not one of {', '.join(KEEPERS)}")
    return str(value)


def _truth(value: object) -> bool:
    return bool(ROUTING["open"].parse(value))


def _duration(value: object) -> int | str:
    return kept_duration(parse_duration(value))


def _of_routing(option: RoutingOption) -> SettingInfo:
    def parse(value: object) -> Json:
        parsed = option.parse(value)
        if option.duration:
            return kept_duration(parsed)
        return list(parsed) if isinstance(parsed, tuple) else cast(Json, parsed)

    default = option.default
    if option.duration and default is not None:
        default = kept_duration(default)
    if isinstance(default, tuple):
        default = list(default)
    return SettingInfo(key=option.setting, help=option.help, parse=parse, default=default, variable=option.variable)


def _unused(key: str, *, help: str, parse: Callable[[object], Json], default: Json = None) -> SettingInfo:
    return SettingInfo(key=key, help=help, parse=parse, default=default, used=False)


SETTINGS: Final[Mapping[str, SettingInfo]] = {
    info.key: info
    for info in (
        SettingInfo(key=ACTIVE_PROVIDER, help="the provider that is asked first", parse=_text),
        *(_of_routing(option) for option in ROUTING.values()),
        SettingInfo(
            key=KEEPER_SETTING,
            help=f"who keeps new secrets: {', '.join(KEEPERS)}",
            parse=_keeper,
            default=KEEPERS[0],
        ),
        _unused("server.host", help="address that the server listens on", parse=_text, default="127.0.0.1"),
        _unused("server.port", help="port that the server listens on", parse=_port, default=3001),
        _unused("server.timeout", help="longest request to the server", parse=_duration),
        _unused("logging.level", help="debug, info, warn or error", parse=_level, default="info"),
        _unused("logging.logRequests", help="whether requests are logged", parse=_truth, default=False),
        _unused("logging.logResponses", help="whether answers are logged", parse=_truth, default=False),
        _unused("system.autoStart", help="for desktop programs: start at login", parse=_truth, default=False),
        _unused("system.minimizeToTray", help="for desktop programs", parse=_truth, default=False),
        _unused("system.checkUpdates", help="for desktop programs", parse=_truth, default=False),
    )
}


@frozen
class Settings:
    """`admin.settings`. Only known keys can be set; unset ones have their default."""

    _editor: Editor

    def list(self) -> tuple[Setting, ...]:
        """Every setting that there is, with its value in force."""
        return tuple(self.explain(key) for key in SETTINGS)

    def get(self, key: str) -> Json:
        """The value in force.

        Raises:
            ConfigError: there is no such setting; the message names near ones.
        """
        return self.explain(key).value

    def explain(self, key: str) -> Setting:
        """The value in force and where it comes from: an environment variable, the setting, or the default.

        Raises:
            ConfigError: there is no such setting, or the environment's value cannot be read.
        """
        info = _known(key)
        record = self._editor.store.settings.get(key)
        kept = record.value if record else None
        value, source = (kept, "setting") if record else (info.default, "default")
        if info.variable and (text := _environment(key)) is not None:
            try:
                value, source = info.parse(text), "environment"
            except ValueError as error:
                raise ConfigError(f"The environment variable {info.variable}: {error}.") from None
        return Setting(
            key=key,
            value=value,
            source=cast(Literal["environment", "setting", "default"], source),
            help=info.help,
            default=info.default,
            variable=info.variable,
            kept=kept,
            updated_at=record.updated_at if record else None,
            used=info.used,
        )

    def set(self, key: str, value: object) -> Setting:
        """Set one.

        Args:
            key: `routing.maxWait`, `server.port`, ….
            value: durations in milliseconds or with a unit (`"30s"`).

        Returns:
            The value in force: the environment's, if a variable goes before the setting.

        Raises:
            ConfigError: there is no such setting; the message names near ones. Or it is not to be set from afar.
            UnknownProvider: `active_provider` can only be one that there is.
            InvalidConfig: the value will not do.
        """
        info = _known(key)
        if key == KEEPER_SETTING:
            self._editor.refuse_from_afar()
        try:
            parsed = info.parse(value)
        except ValueError as error:
            raise InvalidConfig(f"The setting {key} cannot be like this:", [f"{key}: {error}"]) from None
        with self._editor.change() as change:
            if key == ACTIVE_PROVIDER:
                self._refuse_unknown(str(parsed))
            before = self._editor.store.settings.get(key)
            if before is None or (before.value, type(before.value)) != (parsed, type(parsed)):
                record = self._editor.store.settings.set(SettingRecord(key=key, value=parsed))
                was = [before] if before else []
                change.tell(f"set {key}", noun="setting", subject=key, before=was, after=[record])
        return self.explain(key)

    def unset(self, key: str) -> Setting:
        """Take a setting back to its default. One that another program has left behind can be unset too.

        Returns:
            The value in force now.

        Raises:
            ConfigError: there is no such setting.
        """
        if key == KEEPER_SETTING:
            self._editor.refuse_from_afar()
        with self._editor.change() as change:
            record = self._editor.store.settings.unset(key)
            if record is None:
                _known(key)
            else:
                change.tell(f"unset {key}", noun="setting", subject=key, before=[record])
        return (
            self.explain(key)
            if key in SETTINGS
            else Setting(key=key, value=None, source="default", help="", default=None)
        )

    def set_active(self, provider: str | None) -> Setting:
        """Choose the provider that is asked first; None chooses none.

        Raises:
            UnknownProvider: there is none of this id; the message names near ones.
        """
        return self.unset(ACTIVE_PROVIDER) if provider is None else self.set(ACTIVE_PROVIDER, provider)

    @property
    def active(self) -> str | None:
        """The id of the provider that is asked first, if one was chosen."""
        record = self._editor.store.settings.get(ACTIVE_PROVIDER)
        return str(record.value) if record and record.value else None

    def _refuse_unknown(self, provider: str) -> None:
        if provider not in self._editor.store.providers:
            raise unknown_provider(provider, (record.id for record in self._editor.store.providers.list()))


def _known(key: str) -> SettingInfo:
    if info := SETTINGS.get(key):
        return info
    ending = [known for known in SETTINGS if known.rpartition(".")[2].lower() == key.lower()]
    hint = f"did you mean {ending[0]}?" if ending else near_miss(key, SETTINGS)
    raise ConfigError(f"There is no setting {key!r}: {hint} `prouter settings list` shows all.")


def _environment(key: str) -> str | None:
    return routing_environment().get(ROUTING[key.removeprefix("routing.")].variable)
