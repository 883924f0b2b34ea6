"""Tables: a document's tables read by name and shape, with every problem told by table and key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from attrs import define, field

from provider_router.configuration.names import near_miss
from provider_router.configuration.toml import toml_key
from provider_router.providers.config import outside_name


@define
class Tables:
    """What is wrong with a document so far: `[providers.desk.config] timeout: …`."""

    problems: list[str] = field(factory=list)

    def fields(
        self, table: object, known: Iterable[str], path: tuple[str, ...], *, elsewhere: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The values of a table by their names outside Python; what is unknown is told."""
        fields: dict[str, Any] = {}
        names = tuple(known)
        for key, value in self.table(table, path).items():
            name = outside_name(key)
            if name in fields:
                self.tell(path, key, "is given twice")
            elif name in names:
                fields[name] = value
            elif key in elsewhere:
                self.tell(path, key, f"is an option of the type: write it under [{toml_key(*path, 'config')}]")
            else:
                self.tell(path, key, f"is not known here; {near_miss(key, names)}")
        return fields

    def table(self, value: object, path: tuple[str, ...]) -> Mapping[str, Any]:
        """A value that has to be a table; an empty one if it is none."""
        if isinstance(value, Mapping):
            return cast(Mapping[str, Any], value)
        self.tell(path[:-1], path[-1] if path else "", "has to be a table")
        return {}

    def texts(self, value: object, path: tuple[str, ...], name: str) -> tuple[str, ...]:
        """A value that has to be a list of texts, or one text."""
        values = (value,) if isinstance(value, str) else value
        if isinstance(values, list | tuple) and all(isinstance(one, str) for one in values):
            return tuple(values)
        self.tell(path, name, 'has to be a list of texts: ["one", "two"]')
        return ()

    def tell(self, path: tuple[str, ...], key: str, problem: str) -> None:
        """Say what is wrong with one key, or with the table itself."""
        self.tell_all(path, [f"{key}: {problem}" if key else problem])

    def tell_all(self, path: tuple[str, ...], problems: Iterable[str]) -> None:
        """Say what is wrong with a table; each problem begins with its key."""
        self.problems += (f"[{toml_key(*path)}] {problem}" if path else problem for problem in problems)
