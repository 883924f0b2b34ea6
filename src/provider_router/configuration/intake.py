"""Intake: a document joined to a configuration, checked like every other change, with every problem at once. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from attrs import evolve

from provider_router.configuration.document import VERSION
from provider_router.configuration.draft import Draft, outside_names, reference_problems, split_part
from provider_router.configuration.link_terms import LIMITS, checked_limits, link_problems, signed
from provider_router.configuration.models import circle_problem, model_problems, unknown_model, words_of
from provider_router.configuration.names import model_id_problems, near_miss, provider_id_problems
from provider_router.configuration.options import EditedConfig, Keep, drafted_options
from provider_router.configuration.providers import provider_problems
from provider_router.configuration.settings import ACTIVE_PROVIDER, SETTINGS
from provider_router.configuration.tables import Tables
from provider_router.configuration.times import same_but_times, with_times_of
from provider_router.configuration.toml import toml_key
from provider_router.errors import InvalidConfig, UnknownProviderType
from provider_router.providers.config import MASKS, Config, describe_config
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import Secret, parse_reference
from provider_router.store import (
    Configuration,
    CredentialRecord,
    Kept,
    LinkRecord,
    ModelRecord,
    ProviderRecord,
    SettingRecord,
    key_of,
    records_of,
)

LookUp: TypeAlias = Callable[[str], Secret | None]

_PARTS: Final = ("version", "settings", "models", "providers", "credentials")
_PROVIDER: Final = ("name", "type", "enabled", "priority", "description", "config", "models")
_MODEL: Final = ("name", "description", "capabilities", "aliasOf", "fallbacks", "zone")
_LINK: Final = (
    "default",
    "remoteName",
    "weight",
    "contextLength",
    "capabilities",
    "parameters",
    "inputPrice",
    "outputPrice",
    "maxParallel",
)
_LOGIN: Final = ("token", "cookies", "expiresAt")
_IN_CLEAR: Final = (
    "holds the secret itself, and a file like this is copied and shared: "
    "write env:NAME, file:PATH, keyring:SERVICE/NAME or cmd:COMMAND"
)


class Intake:
    """What a document makes of a configuration. What it does not have stays as it is, and it removes nothing.

    Args:
        document: see `Document.content`; every name in either spelling.
        present: what it is joined to.
        plugins: the installed types.
        trusted: whether its references are taken, and secrets themselves are not: the file of this machine's own
            administrator. Else a new reference is left out and told, because whoever wrote it could read with it what
            is not theirs; the secret itself may be given.
        look_up: the value that a `secret:` reference leads to, so that giving it again changes nothing.

    Attributes:
        left_out: references that were not taken, and secrets that an address's move dropped: `desk/apiKey`.
    """

    def __init__(
        self,
        document: object,
        present: Configuration,
        plugins: Plugins,
        *,
        trusted: bool,
        look_up: LookUp = lambda reference: None,
    ) -> None:
        self._tables = Tables()
        self.left_out: list[str] = []
        self._present = present
        self._plugins = plugins
        self._trusted = trusted
        self._look_up = look_up
        self._records = records_of(present)
        self._drafts: list[tuple[str, type[Config], Draft]] = []
        self._login: dict[str, Any] | None = None
        self._read(document)

    @property
    def problems(self) -> list[str]:
        """Each with its table, its key and what would do: `[providers.desk.config] timeout: …`."""
        return self._tables.problems

    def target(self, keep: Keep) -> Configuration:
        """The configuration as it is to be; what stays as it was keeps its times.

        Args:
            keep: gives a secret to the keeper, and returns its reference.

        Raises:
            InvalidConfig: with every problem; no secret was given to the keeper then.
        """
        if self._tables.problems:
            raise InvalidConfig("The document cannot be used:", self._tables.problems)
        for provider, config, draft in self._drafts:
            stored = {option.key: option for option in self._present.options.get(provider, ())}
            self._put_options(drafted_options(draft, config, stored, provider=provider, keep=keep))
        if self._login is not None:
            self._put_login(self._login, keep)
        return with_times_of(records_of(self._present), self._records.values(), revision=self._present.revision)

    # ------------------------------------------------------------------------------------------------- the document

    def _read(self, document: object) -> None:
        top = self._tables.fields(document, _PARTS, ())
        if top.get("version", VERSION) != VERSION:
            self._tables.tell(
                (), "version", f"{top['version']!r} is not known; this version of provider-router reads {VERSION}"
            )
        models = self._tables.table(top.get("models", {}), ("models",))
        providers = self._tables.table(top.get("providers", {}), ("providers",))
        for name, model in models.items():
            self._model(name, model)
        for name, provider in providers.items():
            self._provider(name, provider)
        self._settings(self._tables.table(top.get("settings", {}), ("settings",)))
        if "credentials" in top:
            self._credentials(top["credentials"])
        self._check_names(providers)
        self._check_ways(models)

    def _check_names(self, given: Iterable[str]) -> None:
        taken: dict[str, str] = {}
        records = self._of(ProviderRecord)
        for each in [*(each for each in records if each not in given), *given]:
            if each not in records:
                continue
            name = records[each].name
            if (other := taken.setdefault(name, each)) != each:
                self._tables.tell(("providers", each), "name", f"{other} is named {name!r} already: choose another")

    def _check_ways(self, given: Iterable[str]) -> None:
        models = self._of(ModelRecord)
        for each in given:
            if unknown := unknown_model(models[each], models):
                self._tables.tell(("models", each), "", f"{unknown} Add a table for it.")
            elif circle := circle_problem(models[each], models):
                self._tables.tell(("models", each), "", circle)

    # ------------------------------------------------------------------------------------------------------- models

    def _model(self, id: str, table: object) -> None:
        path = ("models", id)
        fields = {_field(name): value for name, value in self._tables.fields(table, _MODEL, path).items()}
        for name in ("capabilities", "fallbacks"):
            if name in fields and fields[name] is not None:
                fields[name] = words_of(self._tables.texts(fields[name], path, name))
        if fields.get("fallbacks", ()) is None:
            fields["fallbacks"] = ()
        old = self._of(ModelRecord).get(id)
        record = evolve(old, **fields) if old else ModelRecord(id=id, **{"name": id, **fields})
        self._tables.tell_all(path, model_problems(record))
        self._put(record)

    # ---------------------------------------------------------------------------------------------------- providers

    def _provider(self, id: str, table: object) -> None:
        path = ("providers", id)
        old = self._present.providers.get(id)
        said = table.get("type", old.type if old else None) if isinstance(table, Mapping) else None
        cls = self._plugins.types.get(said) if isinstance(said, str) else None
        options = outside_names(cls.Config) if cls else {}
        fields = self._tables.fields(table, _PROVIDER, path, elsewhere=options)
        config, models = fields.pop("config", {}), fields.pop("models", {})
        if said is None:
            known = ", ".join(sorted(self._plugins.types))
            self._tables.tell(path, "type", f"is required, one of {known}" if known else "is required")
        elif old and old.type != said:
            what = f"{id} is of type {old.type}: remove it first, or give this one another id"
            self._tables.tell(path, "type", what)
        elif cls is None:
            self._tables.tell(path, "type", self._unknown_type(str(said)))
        fields["type"] = str(said)
        record = evolve(old, **fields) if old else ProviderRecord(id=id, **{"name": id, **fields})
        self._tables.tell_all(path, [*provider_id_problems(id), *provider_problems(record)])
        self._put(record)
        if cls is not None:
            self._options(id, cls.Config, self._tables.table(config, (*path, "config")))
        self._links(id, models)

    def _unknown_type(self, type: str) -> str:
        try:
            self._plugins.get(type)
        except UnknownProviderType as error:
            return str(error)
        return ""

    def _options(self, id: str, config: type[Config], given: Mapping[str, object]) -> None:
        path = ("providers", id, "config")
        stored = {option.key: option.value for option in self._present.options.get(id, ())}
        sensitive = {info.name for info in describe_config(config) if info.sensitive}
        taken: dict[str, object] = {}
        spared: set[str] = set()
        for key, value in given.items():
            name, part = split_part(config, key)
            if name not in sensitive:
                taken[key] = value
                continue
            if isinstance(value, Mapping) and not part:
                parts = {f"{name}.{inner}": (inner, one) for inner, one in value.items()}
            else:
                parts = {f"{name}.{part}" if part else name: (part, value)}
            there = stored.get(name)
            for label, (inner, one) in parts.items():
                before = there.get(inner) if inner and isinstance(there, Mapping) else there
                if self._is_taken(path, label, one, before):
                    taken[label] = self._same_secret(one, before)
                else:
                    self.left_out.append(f"{id}/{label}")
                    spared.add(name)
        draft = Draft.of(config, stored, taken, local=self._trusted)
        self.left_out += [f"{id}/{label}" for label in draft.dropped_secrets]
        spared |= {label.partition(".")[0] for label in draft.dropped_secrets}
        problems = [problem for problem in draft.problems if problem.partition(":")[0] not in spared]
        self._tables.tell_all(path, problems)
        self._drafts.append((id, config, draft))

    def _is_taken(self, path: tuple[str, ...], label: str, value: object, before: object) -> bool:
        """Whether what is given for a secret counts; what must not stand there is a problem."""
        is_reference = isinstance(value, str) and parse_reference(value) is not None
        if self._trusted and isinstance(value, str) and not is_reference and value not in MASKS:
            self._tables.tell(path, label, _IN_CLEAR)
        return self._trusted or not is_reference or value == before

    def _same_secret(self, value: object, before: object) -> object:
        """The reference that is there, if it leads to the secret that is given."""
        if isinstance(value, str) and isinstance(before, str) and self._look_up(before) == Secret(value):
            return before
        return value

    def _put_options(self, edited: EditedConfig) -> None:
        for option in edited.before:
            self._records.pop(key_of(option), None)
        for option in edited.after:
            self._put(option)

    # -------------------------------------------------------------------------------------------------------- links

    def _links(self, provider: str, given: object) -> None:
        path = ("providers", provider, "models")
        if isinstance(given, list | tuple):
            given = {name: {} for name in self._tables.texts(given, path[:-1], "models")}
        defaults: list[str] = []
        for model, table in self._tables.table(given, path).items():
            link = self._link(provider, model, self._tables.fields(table, (*_LINK, *LIMITS), (*path, model)))
            if link.default is True:
                defaults.append(model)
        if len(defaults) > 1:
            self._tables.tell(path, "default", f"{', '.join(defaults)}: only one model can be the default")
        for other in list(self._of(LinkRecord).values()) if defaults else ():
            if other.provider_id == provider and other.default and other.model_id not in defaults:
                self._put(evolve(other, default=False))

    def _link(self, provider: str, model: str, fields: dict[str, Any]) -> LinkRecord:
        path = ("providers", provider, "models", model)
        if model not in self._of(ModelRecord):
            self._tables.tell_all(path, model_id_problems(model, field="model"))
            self._put(ModelRecord(id=model, name=model))
        limits: dict[str, object] = {name: fields.pop(name) for name in LIMITS if name in fields}
        values = {_field(name): value for name, value in fields.items()}
        if "capabilities" in values:
            values["capabilities"] = signed(self._tables.texts(values["capabilities"], path, "capabilities"))
        if not isinstance(values.get("parameters", {}), Mapping):
            self._tables.tell(path, "parameters", "has to be a table: parameters = { top_k = 40 }")
            del values["parameters"]
        old = next((link for link in self._present.links.get(provider, ()) if link.model_id == model), None)
        link = evolve(old, **values) if old else LinkRecord(provider_id=provider, model_id=model, **values)
        self._tables.tell_all(path, link_problems(link))
        try:
            extra = {**link.extra, **checked_limits(limits)}
            link = evolve(link, extra={name: value for name, value in extra.items() if value is not None})
        except InvalidConfig as error:
            self._tables.tell_all(path, error.problems)
        self._put(link)
        return link

    # --------------------------------------------------------------------------------------- settings, credentials

    def _settings(self, given: Mapping[str, object]) -> None:
        for key, value in _flat(given):
            info = SETTINGS.get(key)
            if info is None:
                self._tables.tell(("settings",), toml_key(key), f"there is no such setting; {near_miss(key, SETTINGS)}")
                continue
            try:
                parsed = info.parse(value)
            except ValueError as error:
                self._tables.tell(("settings",), toml_key(key), str(error))
                continue
            providers = self._of(ProviderRecord)
            if key == ACTIVE_PROVIDER and parsed not in providers:
                self._tables.tell(
                    ("settings",), key, f"there is no provider {parsed!r}; {near_miss(str(parsed), providers)}"
                )
            self._put(SettingRecord(key=key, value=parsed))

    def _credentials(self, table: object) -> None:
        path = ("credentials",)
        fields = self._tables.fields(table, _LOGIN, path)
        now = self._present.credentials[0] if self._present.credentials else None
        for name in ("token", "cookies"):
            value, before = fields.get(name), getattr(now, name, None)
            if not isinstance(value, str) or not value.strip():
                self._tables.tell(path, name, "is required, a text that is not empty")
            elif value in MASKS:
                self._tables.tell(path, name, "this is the mask that stands for a secret; give the secret itself")
            elif not self._is_taken(path, name, value, before):
                self.left_out.append(f"credentials/{name}")
            else:
                self._tables.tell_all(path, (f"{name}: {problem}" for problem in reference_problems(value, local=True)))
                fields[name] = self._same_secret(value, before)
        if (until := fields.get("expiresAt")) is not None:
            try:
                until = until if isinstance(until, datetime) else datetime.fromisoformat(until)
                if until.tzinfo is None:
                    raise ValueError("no time zone")
                fields["expiresAt"] = until.replace(microsecond=until.microsecond // 1000 * 1000)
            except (TypeError, ValueError):
                self._tables.tell(
                    path, "expiresAt", "has to be a time with a time zone, such as 2027-01-31T12:00:00+00:00"
                )
        if not any(label.startswith("credentials/") for label in self.left_out):
            self._login = fields

    def _put_login(self, fields: Mapping[str, Any], keep: Keep) -> None:
        references = {
            name: fields[name] if parse_reference(fields[name]) else keep(fields[name], owner=f"credentials/{name}")
            for name in ("token", "cookies")
        }
        known = self._present.credentials
        wanted = CredentialRecord(
            token=references["token"], cookies=references["cookies"], expires_at=fields.get("expiresAt")
        )
        if known and same_but_times(evolve(wanted, id=known[0].id), known[0]):
            return
        for old in known:
            self._records.pop(key_of(old), None)
        self._put(evolve(wanted, id=max((old.id or 0 for old in known), default=0) + 1))

    # ------------------------------------------------------------------------------------------------------ reading

    def _put(self, record: Kept) -> None:
        self._records[key_of(record)] = record

    def _of(self, cls: type[Any]) -> dict[str, Any]:
        return {" ".join(key[1:]): record for key, record in self._records.items() if type(record) is cls}


def _field(name: str) -> str:
    """`aliasOf` → `alias_of`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _flat(given: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """`{"routing": {"maxWait": "30s"}}` is `{"routing.maxWait": "30s"}`: TOML's dotted keys make tables."""
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
