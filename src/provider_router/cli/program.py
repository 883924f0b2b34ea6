"""`prouter`: the commands by name, each imported when it is needed, and what errors mean at a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import takewhile
from typing import Any, Final, NoReturn

import click

from provider_router.cli.terminal import Terminal, common_options, speaking, tell_error

# What each is for is written here too, so that the help imports none of them; a test compares.
_SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Every day": {
        "chat": "Ask a question, in TEXT or through a pipe.",
        "plan": "Show who would be asked now, in which order, and why the others not.",
        "status": "Show the providers in their order, and whether each one answers.",
        "add": "Find out what runs at URL, or on this machine, and add it as a provider.",
        "demo": "Watch requests survive a backend that dies.",
        "doctor": "Look at files, secrets, plugins, clock and providers, and say what to do.",
    },
    "Providers": {
        "list": "Show the providers, the highest priority first.",
        "set": "Choose the active provider: it is asked first, whatever the priorities say.",
        "test": "Ask one provider, or every enabled one, whether it answers.",
        "drill": "Ask for real, with a fault put before the first candidate.",
        "provider": "Providers: what is configured to answer.",
    },
    "Looking back": {
        "history": "Show what was asked last, who was tried, and what came of it.",
        "stats": "Show how many requests there were, how they ended, and how long they took.",
    },
    "Models, settings, types": {
        "model": "Models: what is asked for by name, and who serves it.",
        "settings": "Settings: values of the whole router, and where each one comes from.",
        "secrets": "Secrets: where they are, whether they can be had, and who keeps them.",
        "credentials": "Credentials: the login at chat.qwen.ai, for every provider that has none of its own.",
        "changes": "Changes: what was changed by whom, back again, and the configuration out to a file and in.",
        "types": "Show the provider types that are installed, or the options of one TYPE.",
        "plugin": "Plugins: the packages that bring provider types.",
    },
    "What is kept": {
        "db": "The databases: backup, restore, check.",
    },
}
# Where a command is not the one that a module of its own name has.
_ELSEWHERE: Final[Mapping[str, str]] = {
    "list": "provider:list_providers",
    "set": "active:set_active",
    "test": "check:check",
    "types": "provider_types:types",
}
_CONTEXT: Final = {"max_content_width": 110, "help_option_names": ["-h", "--help"]}
INTERRUPTED: Final = 130


class Program(click.Group):
    """The top group. Its help imports no command, and a command imports nothing heavy until it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help."""
        return [name for commands in _SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = _ELSEWHERE.get(cmd_name, f"{cmd_name}:{cmd_name}").partition(":")
        command = getattr(import_module(f"provider_router.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section."""
        for section, commands in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([*commands.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: Any,
    ) -> NoReturn:
        """Run a command and end the process: 0 done, 1 our error, 2 wrong use, 130 interrupted."""
        given = sys.argv[1:] if args is None else list(args)
        as_json = "--json" in takewhile(lambda argument: argument != "--", given)
        with speaking():
            code = self._run(
                lambda: click.Group.main(
                    self,
                    args,
                    prog_name or "prouter",
                    complete_var,
                    standalone_mode=False,
                    windows_expand_args=windows_expand_args,
                    **extra,
                ),
                as_json=as_json,
            )
        sys.exit(code)

    def _run(self, run: Callable[[], object], *, as_json: bool) -> int:
        try:
            try:
                code = run()
                return code if isinstance(code, int) else 0
            except click.UsageError as error:
                if not as_json:
                    error.show()
                else:
                    tell_error("usage", error.format_message(), as_json=True)
                return error.exit_code
            except click.Abort:
                return INTERRUPTED
            except Exception as error:
                from provider_router.cli.failures import code_of, details_of
                from provider_router.errors import ProviderRouterError

                if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                    # No fault of ours: a full disk under the output, a folder that may not be looked into.
                    where = f"{error.filename}: " if error.filename else ""
                    tell_error("system", f"{where}{error.strerror or error}", as_json=as_json)
                    return 1
                if not isinstance(error, ProviderRouterError):
                    raise
                tell_error(code_of(error), str(error), details_of(error), as_json=as_json)
                return 1
        except BrokenPipeError:  # whoever read our errors has gone
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.close()
            return 1


@click.group(cls=Program, invoke_without_command=True, context_settings=_CONTEXT)
@click.version_option(package_name="provider-router", message="%(prog)s %(version)s")
@common_options()
@click.pass_context
def prouter(ctx: click.Context) -> None:
    """Ask the best of your language model backends, and the next one when it fails.

    Without a command it says where you stand and what to do next. Answers go to stdout, everything else to stderr.
    The exit code is 0 when all went well, 1 for an error, 2 for wrong use, 130 when interrupted. --db, -v and --json
    may also follow the command.
    """
    terminal = ctx.ensure_object(Terminal)
    if ctx.invoked_subcommand is None:
        from provider_router.cli.status import where_you_stand

        where_you_stand(terminal)
