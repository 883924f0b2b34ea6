"""Models: what is asked for by name, their aliases and fallbacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any

from attrs import evolve, frozen

from provider_router.chat import Capability
from provider_router.configuration.editor import Editor
from provider_router.configuration.names import model_id_problems, near_miss, text_problems
from provider_router.errors import ConfigError, InvalidConfig, UnknownModel
from provider_router.limits import ZONES
from provider_router.store import ModelRecord


@frozen
class Models:
    """`admin.models`."""

    _editor: Editor

    def add(
        self,
        id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        capabilities: Iterable[str] | None = None,
        alias_of: str | None = None,
        fallbacks: Iterable[str] = (),
        zone: str | None = None,
    ) -> ModelRecord:
        """Add a model.

        Args:
            id: as requests name it; `/ . : _` and capitals are fine.
            name: for people; the id unless given.
            description: for people.
            capabilities: what it can do, of `chat.Capability`; None says nothing.
            alias_of: the model that is asked in its place.
            fallbacks: other models, tried in this order when everybody who serves it has failed.
            zone: how far its requests may go: loopback, lan or internet.

        Raises:
            AlreadyExists: the id is taken.
            UnknownModel: the alias's or a fallback's model is not there.
            InvalidConfig: every value that will not do.
        """
        record = ModelRecord(
            id=id,
            name=id if name is None else name,
            description=description,
            capabilities=_words(capabilities),
            alias_of=alias_of,
            fallbacks=_words(fallbacks) or (),
            zone=zone,
        )
        with self._editor.change() as change:
            self._check(record)
            self._editor.store.models.add(record)
            change.tell(f"added model {id}", noun="model", subject=id, after=[record])
        return record

    def get(self, id: str) -> ModelRecord:
        """One model.

        Raises:
            UnknownModel: there is none of this id; the message names near ones.
        """
        if id in self:
            return self._editor.store.models.get(id)
        known = near_miss(id, (record.id for record in self.list()))
        raise UnknownModel(f"There is no model {id!r}: {known} `prouter model add {id}` adds it.")

    def list(self, *, capability: str | None = None) -> tuple[ModelRecord, ...]:
        """All models, or those that say they have a capability, by id."""
        return self._editor.store.models.list(capability=capability)

    def edit(
        self,
        id: str,
        *,
        name: str | EllipsisType = ...,
        description: str | EllipsisType | None = ...,
        capabilities: Iterable[str] | EllipsisType | None = ...,
        alias_of: str | EllipsisType | None = ...,
        fallbacks: Iterable[str] | EllipsisType = ...,
        zone: str | EllipsisType | None = ...,
    ) -> ModelRecord:
        """Change what is given and leave the rest.

        Returns:
            The record as it is now.

        Raises:
            UnknownModel: there is none of this id, or of an alias's or a fallback's.
            InvalidConfig: every value that will not do.
        """
        given: dict[str, Any] = {"name": name, "description": description, "alias_of": alias_of, "zone": zone}
        if not isinstance(capabilities, EllipsisType):
            given["capabilities"] = _words(capabilities)
        if not isinstance(fallbacks, EllipsisType):
            given["fallbacks"] = _words(fallbacks) or ()
        given = {field: value for field, value in given.items() if value is not ...}
        with self._editor.change() as change:
            before = self.get(id)
            wanted = evolve(before, **given)
            changed = [field for field in given if getattr(before, field) != getattr(wanted, field)]
            if not changed:
                return before
            self._check(wanted, fields=changed)
            record = self._editor.store.models.update(wanted)
            what = f"changed {', '.join(changed)} of model {id}"
            change.tell(what, noun="model", subject=id, before=[before], after=[record])
        return record

    def remove(self, id: str) -> ModelRecord:
        """Remove a model with its links.

        Returns:
            The record as it was.

        Raises:
            UnknownModel: there is none of this id.
            ConfigError: another model is an alias of it or falls back to it.
        """
        with self._editor.change() as change:
            record = self.get(id)
            users = [model.id for model in self.list() if id in _leads_to(model)]
            if users:
                raise ConfigError(
                    f"The model {id} is still needed by {', '.join(users)}, as alias or fallback: "
                    "edit or remove that first."
                )
            links = self._editor.store.links.list(model_id=id)
            self._editor.store.models.remove(id)
            change.tell(f"removed model {id}", noun="model", subject=id, before=[record, *links])
        return record

    def __contains__(self, id: object) -> bool:
        return id in self._editor.store.models

    def __len__(self) -> int:
        return len(self._editor.store.models)

    def _check(self, record: ModelRecord, *, fields: Sequence[str] | None = None) -> None:
        """Refuse a record with a fault; `fields` are those that are new in it."""
        problems = [*model_id_problems(record.id), *text_problems("name", record.name, required=True)]
        problems += text_problems("description", record.description, required=False)
        if fields is None or "capabilities" in fields:
            problems += capability_problems(record.capabilities or ())
        if record.zone is not None and record.zone not in ZONES:
            problems.append(f"zone: {record.zone!r} is not one of {', '.join(ZONES)}")
        if problems:
            raise InvalidConfig(f"The model {record.id} cannot be like this:", problems)
        # Who leads nowhere needs no look at the others: models come by the thousand.
        if _leads_to(record) and (fields is None or {"alias_of", "fallbacks"}.intersection(fields)):
            models = {model.id: model for model in self.list()} | {record.id: record}
            for other in _leads_to(record):
                if other not in models:
                    raise UnknownModel(
                        f"There is no model {other!r}: {near_miss(other, models.keys() - {record.id})} Add it first."
                    )
            if circle := _circle(record.id, models):
                raise InvalidConfig(
                    f"The model {record.id} cannot be like this:",
                    [f"{'alias_of' if circle[1] == record.alias_of else 'fallbacks'}: a circle, {' → '.join(circle)}"],
                )


def capability_problems(words: Iterable[object], *, signs: str = "") -> Iterator[str]:
    """What is wrong with a list of capabilities, whose words may begin with one of `signs`."""
    known = [capability.value for capability in Capability]
    for word in words:
        if not isinstance(word, str) or word.lstrip(signs) not in known:
            yield f"capabilities: {word!r} is none; they are {', '.join(known)}"


def _words(words: Iterable[str] | None) -> tuple[str, ...] | None:
    """Each word once, in the order given; one text is one word, not its letters."""
    if words is None:
        return None
    return tuple(dict.fromkeys((words,) if isinstance(words, str) else words))


def _leads_to(model: ModelRecord) -> tuple[str, ...]:
    return (*(one for one in (model.alias_of,) if one is not None), *model.fallbacks)


def _circle(start: str, models: Mapping[str, ModelRecord]) -> tuple[str, ...]:
    """The way from a model back to itself through aliases and fallbacks, or nothing."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for following in _leads_to(models[way[-1]]) if way[-1] in models else ():
            if following == start:
                return (*way, start)
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()
