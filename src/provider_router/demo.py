"""The demo: three small backends, one dies, one is preferred, and no request is lost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import anyio
from attrs import define, frozen

from provider_router.backends import Answer, Backend, answers
from provider_router.configuration.admin import Admin
from provider_router.errors import UnknownProviderType
from provider_router.providers.plugins import Plugins
from provider_router.routing.plan import Plan
from provider_router.routing.sync import Router
from provider_router.trail import Attempt, duration_text, trail_text

PACE: Final = 0.05  # seconds between two words of a stream
_BACKENDS: Final = (("desk", 30), ("loft", 20), ("attic", 10))
_MODEL: Final = "small-model"


@frozen(kw_only=True)
class DemoStep:
    """One request of the demo: what was shown, who answered, and every attempt."""

    title: str
    provider: str
    text: str
    attempts: tuple[Attempt, ...]


def run_demo(out: TextIO, *, plugins: Plugins | None = None, pace: float = PACE) -> tuple[DemoStep, ...]:
    """Show on loopback what the Router does, over real HTTP and with a temporary configuration.

    Args:
        out: where it is told.
        plugins: the provider types; the installed ones unless given.
        pace: seconds between two words of a stream.

    Raises:
        UnknownProviderType: no type speaks with the demo's backends.
    """
    plugins = plugins or Plugins.load()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="prouter-demo-"))
        backends = {name: stack.enter_context(Backend(_says(name, pace), models=(_MODEL,))) for name, _ in _BACKENDS}
        database = Path(folder) / "demo.db"
        admin = stack.enter_context(Admin(database, who="demo", plugins=plugins))
        router = stack.enter_context(Router(database, plugins=plugins))
        return tuple(_Demo(out, admin, router, backends, plugins).run())


def _says(name: str, pace: float) -> Answer:
    return answers(f"I am {name}, and my pelican is called Percival. It likes herring.", pace=pace)


@define
class _Demo:
    _out: TextIO
    _admin: Admin
    _router: Router
    _backends: dict[str, Backend]
    _plugins: Plugins

    def run(self) -> Iterator[DemoStep]:
        self._say("Three small backends on this machine and a temporary configuration; nothing of yours is touched.")
        self._title("Three providers, the highest priority is asked first")
        fitting = anyio.run(self._fitting_type)
        for name, priority in _BACKENDS:
            address = self._backends[name].base_url
            self._admin.providers.add(name, type=fitting, priority=priority, config={"baseURL": address})
            self._say(f"  {name:7}{address}  priority {priority}, type {fitting}")

        yield self._asked("A plain answer")
        yield self._streamed("A streamed answer, word by word")

        self._backends["desk"].kill()
        yield self._asked("desk was killed: the next one answers in its place")
        yield self._asked("The request after that leaves desk alone for a while")
        self._admin.providers.set_priority("attic", 99)
        yield self._asked("attic was given priority 99 meanwhile: in force for the very next request")
        self._title("The plan: who would be asked now, and why")
        self._show(self._router.plan())

        self._title("Now with your own backends")
        self._say("  prouter add             finds what runs on this machine; elsewhere: prouter add http://HOST:PORT")
        self._say('  prouter chat "Hello"    asks the best one, and the next one if it fails')
        self._say("  prouter plan            tells who would be asked, and why not the others")

    async def _fitting_type(self) -> str:
        """The type that speaks with the backends: the core knows none by name."""
        for name, cls in sorted(self._plugins.types.items(), key=lambda item: (not item[1].generic, item[0])):
            if await cls.recognise(self._backends["desk"].base_url) is not None:
                return name
        raise UnknownProviderType(
            "the demo's backends speak OpenAI's dialect, and no installed provider type does: "
            "pip install 'provider-router[all]'"
        )

    def _asked(self, title: str) -> DemoStep:
        self._title(title)
        answer = self._router.chat("Name a pelican.")
        self._say(f"  > Name a pelican.\n  {answer.text}")
        return self._told(title, answer.provider, answer.text, answer.attempts)

    def _streamed(self, title: str) -> DemoStep:
        self._title(title)
        self._say("  > Name a pelican.\n  ", end="")
        with self._router.stream("Name a pelican.") as stream:
            for chunk in stream:
                self._say(chunk.text, end="")
            self._say("")
            return self._told(title, stream.provider, stream.text, stream.attempts)

    def _told(self, title: str, provider: str, text: str, attempts: tuple[Attempt, ...]) -> DemoStep:
        self._say(f"  attempts: {trail_text(attempts)}")
        return DemoStep(title=title, provider=provider, text=text, attempts=attempts)

    def _show(self, plan: Plan) -> None:
        for number, step in enumerate(plan, 1):
            left = (step.until - datetime.now(UTC)).total_seconds() if step.until else 0.0
            until = f", for {duration_text(left)} more" if left > 0 else ""
            reason = f", {step.reason}" if step.reason else ""
            self._say(f"  {number}. {step.provider:7}{step.state}{reason}{until}")

    def _title(self, title: str) -> None:
        self._say(f"\n{title}\n{'-' * len(title)}")

    def _say(self, text: str, *, end: str = "\n") -> None:
        self._out.write(text + end)
        self._out.flush()
