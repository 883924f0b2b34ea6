"""Plugin check: whether an installed provider type keeps the contract, as far as that shows without a backend."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from provider_router.chat import Capability
from provider_router.errors import ConfigError, InvalidConfig, PluginLoadError
from provider_router.providers.config import OptionInfo, build_config, describe_config
from provider_router.providers.hookspecs import PROJECT
from provider_router.providers.plugins import PluginInfo, Plugins
from provider_router.providers.provider import CONTRACT, Provider
from provider_router.providers.zones import zone_of_host

_AUTHORS: Final = ("provider_router.plugin", "provider_router.testing", "provider_router.backends")
_SECRETIVE = re.compile(r"key|secret|password|token|cookie", re.IGNORECASE)
# What a method has to be, and which capability promises it.
_PROMISED: Final = (
    (Capability.EMBEDDINGS, "embed"),
    (Capability.COMPLETION, "complete"),
    (Capability.MODELS, "models"),
)


@frozen(kw_only=True)
class Finding:
    """One thing that was looked at. `ok` is None where it is advice and no fault."""

    subject: str
    ok: bool | None
    what: str


def check_plugin(name: str, plugins: Plugins) -> tuple[Finding, ...]:
    """Look at a plugin.

    Args:
        name: a provider type, a plugin, its package or its distribution.
        plugins: what is installed.

    Raises:
        PluginLoadError: nothing of this name is installed; the message names what is.
    """
    info = _named(name, plugins)
    if info is None:
        known = ", ".join(sorted({*plugins.types, *(info.name for info in plugins.plugins)})) or "none"
        raise PluginLoadError(f"no plugin and no provider type is called {name!r}; installed are: {known}")
    types = [plugins.types[name]] if name in plugins.types else [plugins.types[each] for each in info.types]
    return tuple(_findings(info, types))


def _named(name: str, plugins: Plugins) -> PluginInfo | None:
    points = {point.name: point for point in importlib.metadata.entry_points(group=PROJECT)}
    for info in plugins.plugins:
        point = points.get(info.name)
        also = {point.module, point.dist.name if point.dist else ""} if point else set()
        if name in {info.name, *info.types, *also}:
            return info
    return None


def _findings(info: PluginInfo, types: Sequence[type[Provider]]) -> Iterator[Finding]:
    yield Finding(subject=info.name, ok=not info.problem, what=info.problem or f"loads in {info.seconds * 1000:.0f} ms")
    yield from _of_package(info)
    for cls in types:
        yield from _of_type(cls)
        yield from _of_methods(cls)
        yield from _of_options(cls)
        yield from _of_making(cls)


def _of_package(info: PluginInfo) -> Iterator[Finding]:
    point = next((each for each in importlib.metadata.entry_points(group=PROJECT) if each.name == info.name), None)
    if point is None or point.dist is None:
        return
    needed = [line for line in point.dist.requires or () if re.match(r"provider[-_.]router\b(?![-_.])", line)]
    bound = any(re.search(r"<|==|~=", line.partition(";")[0]) for line in needed)
    what = "requires provider-router" if needed else "does not say that it requires provider-router"
    yield Finding(subject=info.name, ok=bool(needed), what=what)
    if bound:
        yield Finding(
            subject=info.name, ok=None, what="needs no upper bound of provider-router: the contract's number guards it"
        )
    if not point.dist.metadata.json.get("description"):
        yield Finding(subject=info.name, ok=None, what="has no README in its metadata: say what the options are")
    inside = sorted({name for tree in _sources(point.module) for name in _foreign_imports(tree)})
    what = "imports names for authors only"
    if inside:
        what = f"imports {', '.join(inside)}: take the names from {_AUTHORS[0]}, others may move"
    if not info.problem or inside:  # of what cannot be loaded not everything may have been read
        yield Finding(subject=info.name, ok=not inside, what=what)


def _sources(module: str) -> Iterator[ast.Module]:
    """The files of a package, as far as they can be found and read."""
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:  # of what the module lies in
        spec = None
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    for path in origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]:
        try:
            yield ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):  # that it cannot be loaded is told already
            continue


def _foreign_imports(tree: ast.Module) -> Iterator[str]:
    """What a file imports of this package beyond the names for authors."""
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.partition(".")[0] == PROJECT and not name.startswith(_AUTHORS):
                yield name


def _of_type(cls: type[Provider]) -> Iterator[Finding]:
    yield Finding(subject=cls.type, ok=cls.contract == CONTRACT, what=f"is built for contract {cls.contract}")
    fits = re.fullmatch(r"[a-z0-9][a-z0-9-]*", cls.type) is not None
    yield Finding(subject=cls.type, ok=fits, what=f"is called {cls.type!r}: small letters, digits and hyphens")
    what = f"has the label {cls.label!r}" if cls.label else "has no label: give it what people call it (label = …)"
    yield Finding(subject=cls.type, ok=bool(cls.label), what=what)
    what = "says in a docstring what it is" if cls.__doc__ else "has no docstring: say in a line what it is"
    yield Finding(subject=cls.type, ok=bool(cls.__doc__), what=what)
    yield _of_capabilities(cls)
    for url in cls.default_urls:
        near = zone_of_host(urlsplit(url).hostname or "") == "loopback"
        what = f"looks at {url} by itself" + ("" if near else ", which is not on this machine")
        yield Finding(subject=cls.type, ok=near, what=what)


def _of_capabilities(cls: type[Provider]) -> Finding:
    unknown = ", ".join(sorted(map(str, set(cls.capabilities) - set(Capability))))
    words = ", ".join(sorted(map(str, cls.capabilities)))
    what = f"declares {words}" if words else "declares no capability: chat, at least"
    if unknown:
        what = f"declares {unknown}, and there are only: {', '.join(sorted(Capability))}"
    return Finding(subject=cls.type, ok=bool(words) and not unknown, what=what)


def _of_methods(cls: type[Provider]) -> Iterator[Finding]:
    def own(name: str) -> bool:
        return getattr(cls, name) is not getattr(Provider, name)

    if Capability.CHAT in cls.capabilities:
        yield Finding(
            subject=cls.type, ok=own("chat"), what="chat() is written" if own("chat") else "chat() is missing"
        )
    if Capability.STREAMING in cls.capabilities:
        if not own("stream"):
            yield Finding(subject=cls.type, ok=None, what="stream() is not written: a stream is one chunk")
        elif not inspect.isasyncgenfunction(cls.stream):
            yield Finding(subject=cls.type, ok=False, what="stream() is no async generator (async def with yield)")
        else:
            yield Finding(subject=cls.type, ok=True, what="stream() is an async generator")
    for capability, method in _PROMISED:
        if (capability in cls.capabilities) != own(method):
            what = f"{capability} is declared and {method}() is missing"
            if own(method):
                what = f"{method}() is written and {capability} is not declared, so nobody asks for it"
            yield Finding(subject=cls.type, ok=False if not own(method) else None, what=what)
    answers = own("check") or own("models")
    yield Finding(
        subject=cls.type, ok=answers, what="check() has an answer" if answers else "neither check() nor models()"
    )
    for name in ("chat", "models", "check", "embed", "complete", "aclose"):
        if not inspect.iscoroutinefunction(getattr(cls, name)):
            yield Finding(subject=cls.type, ok=False, what=f"{name}() is no coroutine (async def)")


def _of_options(cls: type[Provider]) -> Iterator[Finding]:
    options = describe_config(cls.Config)
    bare = [info.name for info in options if not info.help.strip()]
    what = f"no help for {', '.join(bare)}" if bare else f"{len(options)} options, each with its help"
    yield Finding(subject=cls.type, ok=not bare, what=what)
    shown = [
        info.name for info in options if _SECRETIVE.search(info.name) and info.kind == "text" and not info.sensitive
    ]
    if shown:
        yield Finding(subject=cls.type, ok=None, what=f"{', '.join(shown)}: sensitive=True, if that is a secret")
    for info in options:
        if problem := _misfit(cls, info):
            yield Finding(subject=cls.type, ok=False, what=f"the default of {problem}")
        if info.required and not info.example and not info.sensitive:
            yield Finding(subject=cls.type, ok=None, what=f"{info.name} is required: give it an example")


def _misfit(cls: type[Provider], info: OptionInfo) -> str | None:
    """Why the default of an option is none of its values, or None."""
    if info.required or info.default is None or info.sensitive:
        return None
    try:
        build_config(cls.Config, {}, options={info.field: info.default})
    except InvalidConfig as error:  # of others that are missing, too
        return next((problem for problem in error.problems if re.match(rf"{re.escape(info.name)}\b", problem)), None)
    return None


def _of_making(cls: type[Provider]) -> Iterator[Finding]:
    """A provider from examples: it is made without a network, and shows no secret."""
    values = {info.field: _example(info) for info in describe_config(cls.Config) if info.required or info.sensitive}
    try:
        provider = cls("check", None, transport=None, **values)
    except ConfigError as error:
        yield Finding(subject=cls.type, ok=None, what=f"could not be made from its examples: {error}")
        return
    except Exception as error:
        yield Finding(subject=cls.type, ok=False, what=f"its constructor raises {type(error).__name__}: {error}")
        return
    shown = [text for text in (repr(provider), repr(provider.config), str(provider.config)) if _SHOWN in text]
    yield Finding(subject=cls.type, ok=not shown, what="shows a secret" if shown else "shows no secret")
    try:
        place = f"{provider.endpoint}, {provider.zone}"
        yield Finding(subject=cls.type, ok=bool(provider.endpoint), what=f"tells where it lies: {place}")
    except Exception as error:  # whatever a third party writes
        yield Finding(subject=cls.type, ok=False, what=f"cannot tell where it lies: {error}")
    try:
        cls("check", {"no-such-option": 1})
        yield Finding(subject=cls.type, ok=False, what="takes an option that it does not have")
    except ConfigError:
        yield Finding(subject=cls.type, ok=True, what="refuses an option that it does not have")


_SHOWN: Final = "sk-prouter-plugin-check"


def _example(info: OptionInfo) -> object:
    if info.sensitive:
        return {"x-check": _SHOWN} if info.kind == "mapping" else _SHOWN
    match info.kind:
        case "url":
            return info.example or "http://localhost:1/v1"
        case "integer" | "number" | "duration":
            return 1
        case "boolean":
            return False
    return info.example or (info.choices[0] if info.choices else "example")
