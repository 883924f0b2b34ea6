"""Links: which provider serves which model, and how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import EllipsisType
from typing import Any

from attrs import asdict, evolve, frozen

from provider_router.configuration.editor import Editor
from provider_router.configuration.link_terms import checked_limits, link_problems, signed
from provider_router.configuration.names import model_id_problems, near_miss
from provider_router.configuration.options import provider_record
from provider_router.errors import ConfigError, InvalidConfig, UnknownModel
from provider_router.home import routing_environment
from provider_router.limits import ROUTING
from provider_router.store import Json, LinkRecord, ModelRecord


@frozen(kw_only=True)
class NewLink(LinkRecord):
    """A link that was made. `closed_provider`: its provider took any model name before, and takes linked ones now."""

    closed_provider: bool = False


@frozen(kw_only=True)
class RemovedLink(LinkRecord):
    """A link that was removed. `opened_provider`: it was the last one, and its provider takes any model name now."""

    opened_provider: bool = False


@frozen
class Links:
    """`admin.links`. A link is named by its provider and its model: `("desk", "qwen3-max") in admin.links`."""

    _editor: Editor

    def link(
        self,
        provider: str,
        model: str,
        *,
        default: bool = False,
        remote_name: str | None = None,
        weight: float | None = None,
        context_length: int | None = None,
        capabilities: Iterable[str] = (),
        parameters: Mapping[str, Json] | None = None,
        input_price: float | None = None,
        output_price: float | None = None,
        max_parallel: int | None = None,
        limits: Mapping[str, object] | None = None,
        create: bool = False,
    ) -> NewLink:
        """Say that a provider serves a model.

        Args:
            provider: its id.
            model: its id here.
            default: whether requests to the provider that name no model are for this one; it takes another's place.
            remote_name: what the provider calls it, if not the same.
            weight: its share under the strategy `weighted`.
            context_length: tokens that it takes there.
            capabilities: what it can do there beyond the type (`+tools`) and what not (`-vision`).
            parameters: fields of every request to it there (`{"top_k": 40}`).
            input_price: of a million tokens, in your currency.
            output_price: of a million tokens, in your currency.
            max_parallel: calls in flight there at most.
            limits: of the names in `LIMITS`, either spelling; durations in milliseconds or with a unit.
            create: add the model if it is not there.

        Raises:
            UnknownProvider: there is no such provider.
            UnknownModel: there is no such model, and `create` is not asked for.
            AlreadyExists: they are linked.
            InvalidConfig: with every problem at once.
        """
        record = LinkRecord(
            provider_id=provider,
            model_id=model,
            default=default,
            remote_name=remote_name,
            weight=weight,
            context_length=context_length,
            capabilities=signed(capabilities),
            parameters=dict(parameters or {}),
            input_price=input_price,
            output_price=output_price,
            max_parallel=max_parallel,
            extra=checked_limits(limits or {}),
        )
        with self._editor.change() as change:
            store = self._editor.store
            provider_record(self._editor, provider)
            made = [] if model in store.models else [self._new_model(model, create=create)]
            _refuse_faults(record)
            closes = is_open(self._editor, provider)
            former = [old for old in [store.links.default_for(provider)] if old and default]
            store.links.add(record)
            change.tell(
                f"linked model {model} to provider {provider}",
                noun="link",
                subject=f"{provider} {model}",
                before=former,
                after=[*made, record, *self._now(former)],
            )
        return NewLink(**asdict(record, recurse=False), closed_provider=closes)

    def get(self, provider: str, model: str) -> LinkRecord:
        """One link.

        Raises:
            UnknownProvider: there is no such provider.
            ConfigError: they are not linked; the message names near ones.
        """
        provider_record(self._editor, provider)
        if link := self._editor.store.links.find(provider, model):
            return link
        known = near_miss(model, (link.model_id for link in self.models_for(provider)))
        raise ConfigError(
            f"{provider} and {model} are not linked: {known} `prouter model link {provider} {model}` links them."
        )

    def edit(
        self,
        provider: str,
        model: str,
        *,
        default: bool | EllipsisType = ...,
        remote_name: str | EllipsisType | None = ...,
        weight: float | EllipsisType | None = ...,
        context_length: int | EllipsisType | None = ...,
        capabilities: Iterable[str] | EllipsisType = ...,
        parameters: Mapping[str, Json] | EllipsisType = ...,
        input_price: float | EllipsisType | None = ...,
        output_price: float | EllipsisType | None = ...,
        max_parallel: int | EllipsisType | None = ...,
        limits: Mapping[str, object] | EllipsisType = ...,
    ) -> LinkRecord:
        """Change what is given and leave the rest; of `limits`, what is None is removed and the others stay.

        Returns:
            The record as it is now.

        Raises:
            UnknownProvider: there is no such provider.
            ConfigError: they are not linked.
            InvalidConfig: with every problem at once.
        """
        fields: dict[str, Any] = {
            "default": default,
            "remote_name": remote_name,
            "weight": weight,
            "context_length": context_length,
            "input_price": input_price,
            "output_price": output_price,
            "max_parallel": max_parallel,
            "parameters": parameters,
        }
        given = {field: value for field, value in fields.items() if value is not ...}
        if not isinstance(capabilities, EllipsisType):
            given["capabilities"] = signed(capabilities)
        with self._editor.change() as change:
            store = self._editor.store
            before = self.get(provider, model)
            if not isinstance(limits, EllipsisType):
                merged = {**before.extra, **checked_limits(limits)}
                given["extra"] = {name: value for name, value in merged.items() if value is not None}
            wanted = evolve(before, **given)
            if wanted == before:
                return before
            _refuse_faults(wanted)
            former = [old for old in [store.links.default_for(provider)] if old and wanted.default and old != before]
            record = store.links.update(wanted)
            changed = ["limits" if field == "extra" else field for field in given]
            change.tell(
                f"changed {', '.join(changed)} of model {model} at provider {provider}",
                noun="link",
                subject=f"{provider} {model}",
                before=[before, *former],
                after=[record, *self._now(former)],
            )
        return record

    def unlink(self, provider: str, model: str) -> RemovedLink:
        """Say that a provider serves a model no more.

        Returns:
            The record as it was, and whether the provider takes any model name now.

        Raises:
            UnknownProvider: there is no such provider.
            ConfigError: they are not linked.
        """
        with self._editor.change() as change:
            record = self.get(provider, model)
            self._editor.store.links.remove(provider, model)
            what = f"unlinked model {model} from provider {provider}"
            change.tell(what, noun="link", subject=f"{provider} {model}", before=[record])
            opens = is_open(self._editor, provider)
        return RemovedLink(**asdict(record, recurse=False), opened_provider=opens)

    def unlink_all(self, provider: str) -> tuple[RemovedLink, ...]:
        """Remove every link of a provider; it takes any model name then, unless its option `open` is false.

        Returns:
            The records as they were; with the last one it may be said that the provider takes any model name now.

        Raises:
            UnknownProvider: there is no such provider.
        """
        with self._editor.change() as change:
            records = self.models_for(provider)
            if records:
                self._editor.store.links.remove_all(provider)
                what = f"unlinked every model from provider {provider}"
                change.tell(what, noun="link", subject=provider, before=records)
            opens = is_open(self._editor, provider)
        return tuple(
            RemovedLink(**asdict(record, recurse=False), opened_provider=opens and record is records[-1])
            for record in records
        )

    def models_for(self, provider: str) -> tuple[LinkRecord, ...]:
        """The links of a provider, by model.

        Raises:
            UnknownProvider: there is no such provider.
        """
        provider_record(self._editor, provider)
        return self._editor.store.links.list(provider_id=provider)

    def providers_for(self, model: str) -> tuple[LinkRecord, ...]:
        """The links to a model, by provider.

        Raises:
            UnknownModel: there is no such model.
        """
        if model not in self._editor.store.models:
            raise self._unknown(model)
        return self._editor.store.links.list(model_id=model)

    def default_for(self, provider: str) -> LinkRecord | None:
        """The link for requests that name no model, or None.

        Raises:
            UnknownProvider: there is no such provider.
        """
        provider_record(self._editor, provider)
        return self._editor.store.links.default_for(provider)

    def set_default(self, provider: str, model: str) -> LinkRecord:
        """Make a link the one for requests to the provider that name no model.

        Raises:
            UnknownProvider: there is no such provider.
            ConfigError: they are not linked.
        """
        return self.edit(provider, model, default=True)

    def list(self) -> tuple[LinkRecord, ...]:
        """All links, by provider and model."""
        return self._editor.store.links.list()

    def __contains__(self, link: object) -> bool:
        match link:
            case (str() as provider, str() as model):
                return self._editor.store.links.find(provider, model) is not None
        return False

    def _now(self, links: Iterable[LinkRecord]) -> Iterator[LinkRecord]:
        return (self._editor.store.links.get(link.provider_id, link.model_id) for link in links)

    def _new_model(self, model: str, *, create: bool) -> ModelRecord:
        if not create:
            raise self._unknown(model)
        if problems := list(model_id_problems(model, field="model")):
            raise InvalidConfig("The model cannot be added:", problems)
        record = ModelRecord(id=model, name=model)
        self._editor.store.models.add(record)
        return record

    def _unknown(self, model: str) -> UnknownModel:
        hint = near_miss(model, (record.id for record in self._editor.store.models.list()))
        return UnknownModel(f"There is no model {model!r}: {hint} `prouter model add {model}` adds it.")


def is_open(editor: Editor, provider: str) -> bool:
    """Whether a provider takes any model name, and only because nothing is linked to it."""
    store = editor.store
    said = store.configs.get(provider, "open") or store.settings.get(ROUTING["open"].setting)
    return not (said or ROUTING["open"].variable in routing_environment() or store.links.list(provider_id=provider))


def _refuse_faults(link: LinkRecord) -> None:
    if problems := list(link_problems(link)):
        raise InvalidConfig(f"The link of {link.provider_id} and {link.model_id} cannot be like this:", problems)
