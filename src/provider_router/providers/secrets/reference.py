"""References: where a secret lies, and how it is fetched from there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.secrets.secret import Secret

SCHEMES: Final = ("env", "file", "keyring", "cmd", "secret")

_FILE_BYTES = 64 * 1024
_COMMAND_WAIT = 10.0  # seconds; the same for a keyring, which may wait for somebody to unlock it


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


class Keeper(Protocol):
    """Where the values of `secret:` references are. An owner is `provider/option`, as in `desk/apiKey`."""

    def get(self, id: str) -> Secret:
        """The secret.

        Raises:
            MissingSecret: there is none, or it was removed.
        """

    def put(self, text: str, *, owner: str) -> str:
        """Keep a new secret and return its id."""

    def remove(self, id: str) -> None:
        """Put a secret into the bin, for seven days. Of one that is not there, nothing is said."""

    def forget(self, id: str) -> None:
        """Remove a secret for good. Of one that is not there, nothing is said."""

    def restore(self, id: str) -> None:
        """Take a secret out of the bin again.

        Raises:
            MissingSecret: it is not there any more.
        """

    def owner(self, id: str) -> str | None:
        """Whose it is, also while it is in the bin; None if there is no such secret."""

    def ids(self) -> tuple[str, ...]:
        """Every secret that is not in the bin."""

    def purge(self) -> int:
        """Forget for good what has been in the bin for seven days, and return how many that were."""


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
            text = _keyring_text(service, name, time_limit)
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


def _keyring_text(service: str, name: str, time_limit: float) -> str:
    try:
        import keyring
    except ImportError as error:
        raise ConfigError("keyring: needs an extra; install it: pip install 'provider-router[keyring]'") from error
    found: list[str | None] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            found.append(keyring.get_password(service, name))
        except Exception as error:
            failed.append(error)

    # A keyring may wait for a dialog that nobody sees; the thread is left behind then.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(time_limit)
    if failed:
        reason = next(iter(str(failed[0]).splitlines()), "no reason given")
        raise ConfigError(f"the keyring cannot be used: {reason}; use env: or file: instead") from failed[0]
    if not found:
        raise ConfigError(f"the keyring did not answer within {time_limit:g} s; unlock it, or use env: or file:")
    return found[0] or ""


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
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=time_limit, check=False
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
