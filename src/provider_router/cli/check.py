"""`prouter test`: does it answer?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.terminal import Terminal, json_option

if TYPE_CHECKING:
    from provider_router.providers.provider import Provider
    from provider_router.routing.report import CheckResult


@click.command("test")
@click.argument("provider", required=False)
@json_option
@click.pass_obj
def check(terminal: Terminal, *, provider: str | None) -> None:
    """Ask one provider, or every enabled one, whether it answers. The exit code is 1 if one does not."""
    with terminal.admin() as admin:
        records = [admin.providers.get(provider)] if provider else admin.providers.list(enabled=True)
        types = {record.id: admin.plugins.types.get(record.type) for record in records}
    if not records:
        raise nothing_configured()
    results = check_all(terminal, [record.id for record in records])
    width = max(len(result.provider) for result in results) + 1
    lines = [f"{result.provider + ':':{width}} {verdict(result, types[result.provider])}" for result in results]
    terminal.result([record_of(result) for result in results], "\n".join(lines))
    if not all(result.ok for result in results):
        click.get_current_context().exit(1)


def nothing_configured() -> Exception:
    """The error of whoever needs a provider that can be asked."""
    from provider_router.errors import NoCandidates

    return NoCandidates("No provider is configured and enabled: run `prouter add`, or see `prouter provider list`.")


def check_all(terminal: Terminal, providers: Sequence[str]) -> list[CheckResult]:
    """Check them all at once; what cannot even be asked has failed."""
    import anyio

    from provider_router.errors import ProviderRouterError
    from provider_router.routing.report import CheckResult
    from provider_router.routing.router import AsyncRouter

    results: dict[str, CheckResult] = {}

    async def look(router: AsyncRouter, provider: str) -> None:
        try:
            results[provider] = await router.check(provider)
        except ProviderRouterError as error:
            why = str(error).removeprefix(f"the provider {provider!r} ")
            results[provider] = CheckResult(provider=provider, ok=False, duration=0.0, detail=why, error=error)

    async def look_at_all() -> None:
        async with AsyncRouter(terminal.database) as router, anyio.create_task_group() as tasks:
            for provider in providers:
                tasks.start_soon(look, router, provider)

    anyio.run(look_at_all)
    return [results[provider] for provider in providers]


def verdict(result: CheckResult, cls: type[Provider] | None) -> str:
    """`ok, 12 ms, 3 models`, or what is wrong and what to do.

    Args:
        result: of the check.
        cls: the provider's type, if it is installed.
    """
    from provider_router.errors import Failure, ProviderError
    from provider_router.providers.config import describe_config
    from provider_router.trail import duration_text

    if result.ok:
        return ", ".join(part for part in ("ok", duration_text(result.duration), result.detail) if part)
    error = result.error
    if not isinstance(error, ProviderError) or cls is None:
        return result.detail
    if error.failure is Failure.CONNECT and result.detail == "refused":
        return "nothing listens there: start " + ("its server" if cls.generic else f"{cls.label}'s server")
    message = error.message.removeprefix(f"{result.provider} ").removeprefix(f"{result.provider}: ")
    keys = [info.name for info in describe_config(cls.Config) if info.sensitive and info.kind == "text"]
    if error.failure is Failure.AUTH and keys:
        return f"{message.rstrip('.')}. Set its key: prouter provider config {result.provider} {keys[0]} --stdin"
    return message


def record_of(result: CheckResult) -> dict[str, Any]:
    """A check for machines."""
    from provider_router.cli.failures import record_of as record_of_error

    return {
        "provider": result.provider,
        "ok": result.ok,
        "duration": round(result.duration, 6),
        "detail": result.detail,
        "models": result.models,
        "error": record_of_error(result.error) if result.error else None,
    }
