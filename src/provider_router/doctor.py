"""Doctor: looks at everything that a request needs, and says of each thing what is wrong and what to do."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from attrs import frozen

from provider_router import home
from provider_router.configuration.admin import Admin
from provider_router.errors import ConfigError, ProviderError, ProviderRouterError, StoreError
from provider_router.providers.plugins import Plugins
from provider_router.routing.report import ProviderHealth
from provider_router.routing.router import AsyncRouter
from provider_router.store import CONFIGURATION, HISTORY, Fault, Schema, Store, exists, inspect
from provider_router.trail import duration_text

_LITTLE_SPACE: Final = 100 * 1024 * 1024  # bytes
_CLOCK_TOLERANCE: Final = 60.0  # seconds
_PATIENCE: Final = 10.0  # seconds
_ROUNDS: Final = 3  # of providers that are silent
_AT_ONCE: Final = 32  # providers
_LARGE: Final = 256 * 1024 * 1024  # bytes of a file that takes too long to be looked through


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen(kw_only=True)
class Finding:
    """What was found of one thing.

    Attributes:
        check: what was looked at: `plugins`, `database`, `declared`, `configuration`, `history`, `secrets`,
            `clock`, `disk`, `providers`.
        subject: which one: a path, a provider's id, a plugin.
        verdict: how it stands.
        what: what was found.
        mend: what to do about it; empty if nothing is to be done.
    """

    check: str
    subject: str
    verdict: Verdict
    what: str
    mend: str = ""


async def examine(
    database: str | Path | None = None,
    *,
    plugins: Plugins | None = None,
    ask: bool = True,
    patience: float = _PATIENCE,
    progress: Callable[[str], object] = lambda _: None,
    wall: Callable[[], float] = time.time,
) -> list[Finding]:
    """Look at everything. Nothing is changed, and nothing but the providers' own checks is sent anywhere.

    Args:
        database: the configuration's file; PROUTER_DB, PROUTER_HOME or the platform's folder unless given.
        plugins: the provider types; those that are installed unless given.
        ask: whether the providers are asked if they answer.
        patience: longest wait for one provider, and for all secrets, in seconds; all providers get three times that.
        progress: told what is looked at next.
        wall: seconds since 1970.
    """
    path = home.database_path(database)
    declared = home.declared_path(database)
    progress("plugins")
    if plugins is None:
        plugins = await anyio.to_thread.run_sync(Plugins.load)
    findings = list(_plugins(plugins))
    files = [("history", home.history_path(path), HISTORY)]
    if declared is None:
        files.insert(0, ("database", path, CONFIGURATION))
    for check, file, schema in files:
        progress(check)
        findings += await anyio.to_thread.run_sync(_file, check, file, schema)
    sound = not any(one.check == "database" and one.verdict is Verdict.PROBLEM for one in findings)
    progress("disk and clock")
    findings += _disk(path)
    findings += _secrets_file()
    if declared is None and sound and exists(path):
        findings += _clock(path, wall())
    if declared is not None or (sound and exists(path)):
        progress("secrets")
        found = await anyio.to_thread.run_sync(lambda: list(_secrets(database, plugins, patience)))
        findings += found
        if not any(one.check == "configuration" for one in found):
            progress("providers")
            findings += await _providers(database, plugins, ask=ask, patience=patience)
    return findings


def _plugins(plugins: Plugins) -> Iterator[Finding]:
    if not plugins.plugins:
        yield Finding(
            check="plugins",
            subject="plugins",
            verdict=Verdict.PROBLEM,
            what="No plugin is installed, so there is no provider type.",
            mend="pip install 'provider-router[all]'",
        )
    for info in plugins.plugins:
        yield Finding(
            check="plugins",
            subject=f"{info.name} {info.version}".strip(),
            verdict=Verdict.PROBLEM if info.problem else Verdict.OK,
            what=info.problem or ", ".join(info.types),
            mend=f"Update or remove it: pip install --upgrade {info.name}, pip uninstall {info.name}"
            if info.problem
            else "",
        )


def _file(check: str, path: Path, schema: Schema) -> list[Finding]:
    if not exists(path):
        return [Finding(check=check, subject=str(path), verdict=Verdict.OK, what="is not there yet")]
    if (size := path.stat().st_size) > _LARGE:
        what = f"{size // 2**20} MB, which takes too long to look through here"
        mend = "prouter db check looks through it, with --quick through most of it"
        return [Finding(check=check, subject=str(path), verdict=Verdict.OK, what=what, mend=mend)]
    faults = inspect(path, schema)
    if not faults:
        return [Finding(check=check, subject=str(path), verdict=Verdict.OK, what="sound")]
    return [_of_fault(check, fault) for fault in faults]


def _of_fault(check: str, fault: Fault) -> Finding:
    return Finding(
        check=check,
        subject=str(fault.path),
        verdict=Verdict.PROBLEM if fault.grave else Verdict.WARNING,
        what=fault.what,
        mend=fault.mend,
    )


def _disk(path: Path) -> Iterator[Finding]:
    folder = next(folder for folder in (path.parent, *path.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_SPACE:
        yield Finding(
            check="disk",
            subject=str(folder),
            verdict=Verdict.WARNING,
            what=f"Only {free // 2**20} MB are free: soon neither changes nor history can be written.",
            mend="Free some space, or name another place with PROUTER_HOME.",
        )


def _secrets_file() -> Iterator[Finding]:
    """The file of the keeper `file` is plain text: nobody else may read it."""
    path = home.secrets_path()
    if sys.platform != "win32" and path.exists() and (mode := path.stat().st_mode & 0o777) & 0o077:
        yield Finding(
            check="secrets",
            subject=str(path),
            verdict=Verdict.PROBLEM,
            what=f"Others on this machine may read the secrets in it (mode {mode:o}).",
            mend=f"chmod 600 {path}, and give the providers new keys",
        )


def _secrets(database: str | Path | None, plugins: Plugins, patience: float) -> Iterator[Finding]:
    """Whether the configuration can be read, its keeper take secrets, and each secret be had."""
    with Admin(database, who="doctor", plugins=plugins) as admin:
        try:
            enabled = {provider.id for provider in admin.providers.list(enabled=True)}
            if home.declared_path(database) is not None:
                yield Finding(
                    check="declared", subject=str(admin.path), verdict=Verdict.OK, what="in use (PROUTER_CONFIG)"
                )
            checked = admin.secrets.check(time_limit=patience)
            unused = admin.secrets.unused()
        except ProviderRouterError as error:
            yield Finding(check="configuration", subject=str(admin.path), verdict=Verdict.PROBLEM, what=str(error))
            return
        if home.declared_path(database) is None:
            yield _keeper(admin)
        for one in checked:
            if one.state != "ok":
                provider, _, key = one.owner.partition("/")
                again = f"prouter provider config {provider} {key} --stdin"
                yield Finding(
                    check="secrets",
                    subject=one.owner,
                    verdict=Verdict.PROBLEM if provider in (*enabled, "credentials") else Verdict.WARNING,
                    what=f"{one.reference}: {one.problem}",
                    mend="prouter credentials set" if provider == "credentials" else again,
                )
        for entry in unused:
            yield Finding(
                check="secrets",
                subject=entry.owner,
                verdict=Verdict.WARNING,
                what=f"{entry.reference} is kept, and nothing here refers to it: it is of a change that was broken "
                "off, or of another configuration.",
                mend=f"If no other configuration needs it: prouter secrets remove {entry.reference}",
            )


def _keeper(admin: Admin) -> Finding:
    """The keeper of new secrets: whether its key and its package are there."""
    keeper = admin.secrets.keeper
    try:
        admin.secrets.ready()
    except ProviderRouterError as error:
        mend = "prouter secrets move file has them kept in a file"
        return Finding(check="secrets", subject=keeper, verdict=Verdict.PROBLEM, what=str(error), mend=mend)
    return Finding(check="secrets", subject=keeper, verdict=Verdict.OK, what="keeps new secrets")


def _clock(path: Path, now: float) -> Iterator[Finding]:
    """Times of the past that lie in the future: throttles, expiries and statistics would all be wrong."""
    try:
        with Store.open(path, read_only=True) as store:
            newest = store.changes.list(limit=1)
    except StoreError:  # of an older version, which the inspection tells
        return
    ahead = newest[0].at.timestamp() - now if newest else 0.0
    if ahead > _CLOCK_TOLERANCE:
        yield Finding(
            check="clock",
            subject=f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC",
            verdict=Verdict.WARNING,
            what=f"The newest change was made {duration_text(ahead)} from now: this machine's clock stands wrong, "
            "or stood wrong then.",
            mend="Set the clock; expiries, throttles and statistics go by it.",
        )


async def _providers(database: str | Path | None, plugins: Plugins, *, ask: bool, patience: float) -> list[Finding]:
    found: dict[str, Finding] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def look(router: AsyncRouter, stands: ProviderHealth) -> None:
        async with limiter:
            found[stands.provider] = await _provider(router, stands, ask=ask, patience=patience)

    try:
        async with AsyncRouter(database, plugins=plugins, share_health=False, history=False) as router:
            providers = await router.health()
            with anyio.move_on_after(_ROUNDS * patience):
                async with anyio.create_task_group() as tasks:
                    for stands in providers:
                        tasks.start_soon(look, router, stands)
    except (ConfigError, StoreError) as error:
        subject = str(home.declared_path(database) or home.database_path(database))
        return [Finding(check="configuration", subject=subject, verdict=Verdict.PROBLEM, what=str(error))]
    if not providers:
        mend = "prouter add"
        return [Finding(check="providers", subject="-", verdict=Verdict.WARNING, what="None is configured.", mend=mend)]
    return [found.get(stands.provider) or _unasked(stands.provider, _ROUNDS * patience) for stands in providers]


def _unasked(provider: str, passed: float) -> Finding:
    what = f"not asked: the others took {duration_text(passed)}"
    mend = f"prouter test {provider}"
    return Finding(check="providers", subject=provider, verdict=Verdict.WARNING, what=what, mend=mend)


async def _provider(router: AsyncRouter, stands: ProviderHealth, *, ask: bool, patience: float) -> Finding:
    verdict, what, mend = Verdict.OK, stands.state, ""
    if stands.state == "unusable":
        verdict, what = Verdict.PROBLEM, stands.reason
        mend = f"prouter provider show {stands.provider}, then prouter provider edit {stands.provider}"
    elif stands.state == "no-secret":
        verdict, what, mend = Verdict.PROBLEM, stands.reason, "prouter secrets check"
    elif stands.state != "disabled" and ask:
        verdict, what, mend = await _asked(router, stands.provider, patience)
    return Finding(check="providers", subject=stands.provider, verdict=verdict, what=what, mend=mend)


async def _asked(router: AsyncRouter, provider: str, patience: float) -> tuple[Verdict, str, str]:
    """How a provider answers when it is asked, and what is to be done if it does not."""
    error: ProviderRouterError | None = None
    try:
        with anyio.fail_after(patience):
            result = await router.check(provider)
        if result.ok:
            return Verdict.OK, ", ".join(filter(None, ("answers", duration_text(result.duration), result.detail))), ""
        error = result.error
    except TimeoutError:
        return Verdict.PROBLEM, f"silent for {duration_text(patience)}", _MENDS["timeout"].format(provider)
    except ProviderRouterError as raised:
        error = raised
    failure = str(error.failure) if isinstance(error, ProviderError) else ""
    return Verdict.PROBLEM, str(error), _MENDS.get(failure, "prouter test {} says more").format(provider)


_MENDS: Final = {
    "connect": "Start its server, or mend its address: prouter provider config {} baseURL URL",
    "timeout": "See whether its machine is awake and its server not stuck; prouter test {} asks again",
    "auth": "Give it a new key: prouter provider config {} apiKey --stdin",
    "quota": "Its account has nothing left; until it has, prouter provider disable {}",
    "rate_limit": "It asks for patience; others are asked first meanwhile. prouter plan shows until when",
}


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst of all verdicts."""
    verdicts = {finding.verdict for finding in findings}
    return next((one for one in (Verdict.PROBLEM, Verdict.WARNING) if one in verdicts), Verdict.OK)
