"""References: where a secret lies, and how it is fetched from there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.secrets import system_keyring
from provider_router.providers.secrets.keeper import Keeper
from provider_router.providers.secrets.secret import Secret

SCHEMES: Final = ("env", "file", "keyring", "cmd", "secret")

_FILE_BYTES = 64 * 1024
_COMMAND_WAIT = system_keyring.WAIT


@frozen
class Reference:
    """Where a secret lies: `env:NAME`, `file:PATH`, `keyring:service/name`, `cmd:COMMAND LINE`, `secret:ID`."""

    scheme: str
    place: str

    @property
    def local(self) -> bool:
        """Whether it reaches beyond the keeper, into this machine: only who sits at it may set such a reference."""
        return self.scheme != "secret"

    @property
    def shown(self) -> str:
        """As it may be shown to anyone: of a command its program alone, whose arguments may hold a secret."""
        if self.scheme != "cmd":
            return str(self)
        program, *arguments = self.place.split(maxsplit=1) or [""]
        return f"cmd:{program}{' …' if arguments else ''}"

    @property
    def problem(self) -> str:
        """What is wrong with its form, or an empty text."""
        if not self.place.strip():
            return f"{self.scheme}: names nothing; write {_FORMS[self.scheme]}"
        if self.scheme == "keyring" and not all(self.place.rpartition("/")[::2]):
            return f"keyring: needs a service and a name; write {_FORMS['keyring']}"
        return ""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}"


_FORMS = {
    "env": "env:NAME",
    "file": "file:PATH",
    "keyring": "keyring:service/name",
    "cmd": "cmd:COMMAND",
    "secret": "secret:ID",
}


def parse_reference(text: str) -> Reference | None:
    """`env:OPENAI_API_KEY` → a reference; None for any text that is none."""
    scheme, colon, place = text.partition(":")
    return Reference(scheme, place) if colon and scheme in SCHEMES else None


def resolve(
    reference: Reference,
    *,
    keeper: Keeper | None = None,
    environ: Mapping[str, str] = os.environ,
    time_limit: float = _COMMAND_WAIT,
) -> Secret:
    """The secret that a reference leads to. Blocks: on a file, a keyring, a command.

    Args:
        reference: where it lies.
        keeper: has the `secret:` references.
        environ: has the `env:` references.
        time_limit: longest wait for a keyring or a command, in seconds.

    Raises:
        MissingSecret: nothing is there.
        ConfigError: something is there, and cannot be read.
    """
    if reference.problem:
        raise MissingSecret(reference.problem)
    match reference.scheme:
        case "env":
            text = environ.get(reference.place, "")
            mend = f"the environment variable {reference.place} is not set; set it where this program is started"
        case "file":
            text = _file_text(Path(reference.place).expanduser())
            mend = f"the file {reference.place} is empty; write the secret into it"
        case "keyring":
            service, _, name = reference.place.rpartition("/")
            text = system_keyring.password(service, name, time_limit=time_limit) or ""
            mend = f"the keyring has nothing for {reference.place}; store it: keyring set {service} {name}"
        case "cmd":
            text = _command_text(reference.place, time_limit)
            mend = "the command of this cmd: reference printed nothing; run it yourself to see why"
        case _:
            if keeper is None:
                raise ConfigError(f"{reference} needs the keeper of this configuration, and here is none")
            return keeper.get(reference.place)
    if not text:
        raise MissingSecret(mend)
    return Secret(text)


def _file_text(path: Path) -> str:
    if not path.exists():
        raise MissingSecret(f"there is no file {path}; write the secret into it, or correct the path")
    if not path.is_file():  # a pipe would block for ever
        raise ConfigError(f"{path} is no ordinary file")
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds no text (UTF-8)") from None  # the cause would show the bytes
    if len(content) > _FILE_BYTES:
        raise ConfigError(f"{path} holds more than {_FILE_BYTES // 1024} KiB: that is no secret")
    return text.removesuffix("\n").removesuffix("\r")


def _command_text(line: str, time_limit: float) -> str:
    # Windows splits a command line itself, by rules of its own.
    if sys.platform == "win32":
        command: str | list[str] = line
    else:
        try:
            command = shlex.split(line)
        except ValueError as error:
            raise ConfigError(f"the command line of this cmd: reference cannot be read: {error}") from None
    program = shlex.quote(line.split(maxsplit=1)[0])
    try:
        done = subprocess.run(  # noqa: S603 - whoever may write the reference may run commands; no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=time_limit,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PROUTER_SECRET_KEY"},
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{program} was not done within {time_limit:g} s; does it wait for somebody?") from None
    except OSError as error:
        raise ConfigError(f"{program} cannot be started: {error.strerror or error}") from None
    if done.returncode:
        # What it printed may hold the secret, so that nothing of it is shown.
        raise ConfigError(f"{program} ended with exit code {done.returncode}; run it yourself to see why")
    try:
        return done.stdout.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{program} printed no text (UTF-8)") from None
