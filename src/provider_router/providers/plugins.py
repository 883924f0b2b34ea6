"""Plugins: finding provider types through entry points, each plugin loaded in isolation from the others."""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import pluggy
from attrs import frozen

from provider_router.errors import PluginLoadError, UnknownProviderType
from provider_router.providers import hookspecs
from provider_router.providers.config import Config, build_config, describe_config
from provider_router.providers.provider import CONTRACT, Provider
from provider_router.providers.secrets import Reference, Secret


@frozen(kw_only=True)
class PluginInfo:
    """A plugin that was found. `seconds` is how long it took to load; `problem` says why it cannot be used."""

    name: str
    version: str = ""
    types: tuple[str, ...] = ()
    seconds: float = 0.0
    problem: str = ""


class Plugins:
    """The provider types that are installed.

    Attributes:
        types: by their names.
        plugins: every plugin that was found, those that failed among them.
    """

    def __init__(self, types: Iterable[type[Provider]] = ()) -> None:
        self.types: dict[str, type[Provider]] = {}
        self.plugins: tuple[PluginInfo, ...] = ()
        for cls in types:
            self._add(cls)

    @classmethod
    def load(cls, entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> Plugins:
        """What the installed packages offer. One that is broken never stops the others, and nothing is asked online.

        Args:
            entry_points: those of the group `provider_router` unless given.
        """
        found = cls()
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        if entry_points is None:
            entry_points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
        found.plugins = tuple(
            found._load_one(manager, entry_point) for entry_point in sorted(entry_points, key=lambda e: e.name)
        )
        return found

    def _load_one(self, manager: pluggy.PluginManager, entry_point: importlib.metadata.EntryPoint) -> PluginInfo:
        begun = time.perf_counter()
        types: list[str] = []
        problems: list[str] = []
        try:
            offered = _offered(manager, entry_point)
        except PluginLoadError as error:
            offered = ()
            problems.append(str(error))
        except (Exception, SystemExit) as error:  # whatever a third party's module does
            offered = ()
            problems.append(_reason(error))
        for cls in offered:
            try:
                types.append(self._add(cls))
            except PluginLoadError as error:
                problems.append(str(error))
            except Exception as error:
                problems.append(_reason(error))
        return PluginInfo(
            name=entry_point.name,
            version=entry_point.dist.version if entry_point.dist else "",
            types=tuple(types),
            seconds=time.perf_counter() - begun,
            problem="; ".join(problems),
        )

    def _add(self, cls: object) -> str:
        if not (inspect.isclass(cls) and issubclass(cls, Provider)):
            raise PluginLoadError(f"{cls!r} is no provider type: a type is a subclass of Provider")
        if not cls.type:
            raise PluginLoadError(f"the class {cls.__name__} has no name: give it a class attribute `type`")
        if cls.contract != CONTRACT:
            older = "the plugin" if cls.contract < CONTRACT else "provider-router"
            raise PluginLoadError(
                f"{cls.type!r} was built for contract {cls.contract}, and this is {CONTRACT}: update {older}"
            )
        if not issubclass(cls.Config, Config):
            raise PluginLoadError(f"the Config of {cls.type!r} has to be a subclass of its parent's Config")
        try:
            describe_config(cls.Config)
        except (NameError, TypeError) as error:
            raise PluginLoadError(f"the Config of {cls.type!r} cannot be read: {error}") from error
        if cls.type in self.types:
            raise PluginLoadError(
                f"another plugin offers the provider type {cls.type!r} already: uninstall one of them"
            )
        self.types[cls.type] = cls
        return cls.type

    def get(self, type: str) -> type[Provider]:
        """The class of a provider type.

        Raises:
            UnknownProviderType: no installed plugin offers it; the message names near ones.
        """
        cls = self.types.get(type)
        if cls is not None:
            return cls
        near = difflib.get_close_matches(type, self.types, 1, 0.5)
        failed = [info.name for info in self.plugins if info.problem]
        hint = f"did you mean {near[0]}? " if near else ""
        known = f"installed are {', '.join(sorted(self.types))}" if self.types else "no provider type is installed"
        broken = f"; {', '.join(failed)} could not be loaded, see `prouter plugin list`" if failed else ""
        raise UnknownProviderType(
            f"no provider type is called {type!r}; {hint}{known}{broken}; each type comes with a package of its own"
        )

    def create(
        self,
        type: str,
        id: str,
        options: Mapping[str, object],
        *,
        resolve: Callable[[Reference], Secret] | None = None,
    ) -> Provider:
        """A provider from stored options.

        Raises:
            UnknownProviderType: no installed plugin offers the type.
            InvalidConfig: with every problem at once.
            MissingSecret: a reference leads nowhere.
        """
        cls = self.get(type)
        return cls(id, build_config(cls.Config, options, resolve=resolve, whose=id))


def _offered(manager: pluggy.PluginManager, entry_point: importlib.metadata.EntryPoint) -> Sequence[object]:
    """What a plugin's own hook returns, asked of it alone: pluggy would let one that fails stop the others."""
    module = entry_point.load()
    others = manager.get_plugins()
    manager.register(module, entry_point.name)
    try:
        manager.check_pending()
        answers = manager.subset_hook_caller("register_providers", others)()
    except BaseException:
        manager.unregister(module)
        raise
    if not answers:
        raise PluginLoadError(
            "it offers no provider type: its register_providers() is missing, or has no @hookimpl above it"
        )
    (classes,) = answers
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        raise PluginLoadError("its register_providers() has to return a list of provider types")
    return classes


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
