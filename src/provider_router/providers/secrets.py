"""Secrets: values that are never shown, references that say where they lie, and the keeper that holds them in a file."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import os
import re
import secrets as tokens
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, final
from urllib.parse import quote, quote_plus

from attrs import evolve, frozen

from provider_router.errors import ConfigError, MissingSecret

MASK: Final = "***"
MASKS: Final = frozenset({MASK, "***MASKED***"})
"""What is shown in place of a secret, here and in the old system. Written back, it never overwrites a value."""

SCHEMES: Final = ("env", "file", "keyring", "cmd", "secret")

_FILE_BYTES = 64 * 1024
_COMMAND_WAIT = 10.0  # seconds; the same for a keyring, which may wait for somebody to unlock it
_BIN = 7 * 24 * 3600.0  # seconds for which a removed secret can be restored
_LEAST_MASKED = 4  # shorter values are flags and numbers; without them no message would be readable
_LEAST_ENCODED = 7

_logger = logging.getLogger("provider_router")


@final
class Secret:
    """A text that shows itself to nobody but `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text in clear. Ask for it where it is sent, and keep it nowhere."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (secret._text.encode("utf-8", "surrogatepass") for secret in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled: it would lie there in clear. Hand on its reference.")


@frozen
class Reference:
    """Where a secret lies: `env:NAME`, `file:PATH`, `keyring:service/name`, `cmd:COMMAND LINE`, `secret:ID`."""

    scheme: str
    target: str

    @property
    def local(self) -> bool:
        """Whether it reaches beyond the keeper, into this machine: only who sits at it may set such a reference."""
        return self.scheme != "secret"

    @property
    def problem(self) -> str:
        """What is wrong with its form, or an empty text."""
        if not self.target.strip():
            return f"{self.scheme}: names nothing; write {_FORMS[self.scheme]}"
        if self.scheme == "keyring" and not all(self.target.rpartition("/")[::2]):
            return f"keyring: needs a service and a name; write {_FORMS['keyring']}"
        return ""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.target}"


_FORMS = {
    "env": "env:NAME",
    "file": "file:PATH",
    "keyring": "keyring:service/name",
    "cmd": "cmd:COMMAND",
    "secret": "secret:ID",
}


def parse_reference(text: str) -> Reference | None:
    """`env:OPENAI_API_KEY` → a reference; None for any text that is none."""
    scheme, colon, target = text.partition(":")
    return Reference(scheme, target) if colon and scheme in SCHEMES else None


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


# ------------------------------------------------------------------------------------------------------- references


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
            text = environ.get(reference.target, "")
            mend = f"the environment variable {reference.target} is not set; set it where this program is started"
        case "file":
            text = _file_text(Path(reference.target).expanduser())
            mend = f"the file {reference.target} is empty; write the secret into it"
        case "keyring":
            service, _, name = reference.target.rpartition("/")
            text = _keyring_text(service, name, time_limit)
            mend = f"the keyring has nothing for {reference.target}; store it: keyring set {service} {name}"
        case "cmd":
            text = _command_text(reference.target, time_limit)
            mend = "the command of this cmd: reference printed nothing; run it yourself to see why"
        case _:
            if keeper is None:
                raise ConfigError(f"{reference} needs the keeper of this configuration, and here is none")
            return keeper.get(reference.target)
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
    program = shlex.quote(line.split()[0])
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


# ---------------------------------------------------------------------------------------------------------- masking


def mask_text(text: str, secrets: Iterable[Secret]) -> str:
    """The text with `***` for every secret in it, also where it is quoted for a URL or JSON, or in base64.

    Of a secret of several words (`Bearer …`, cookies) each long word counts too. Values under four characters stay.
    """
    forms = {form for secret in secrets for form in _forms(secret.reveal())}
    if not forms:
        return text
    return re.sub("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)), MASK, text)


def _forms(value: str) -> Iterator[str]:
    if len(value) < _LEAST_MASKED:
        return
    yield value
    for word in {value, *re.split(r"[\s;,]+", value), *re.split(r"[\s;,]+|(?<=\w)=(?=.)", value)}:
        if len(word) < _LEAST_ENCODED:
            continue
        content = word.encode("utf-8", "surrogatepass")
        yield word
        yield quote(content)
        yield quote(content, safe="")
        yield quote_plus(content)
        yield json.dumps(word)[1:-1]
        yield json.dumps(word, ensure_ascii=False)[1:-1]
        yield json.dumps(word)[1:-1].replace("/", "\\/")
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(content).decode()
            # In the midst of a longer text (`user:password`) base64 looks different at each of three offsets.
            for offset in range(3):
                encoded = encode(bytes(offset) + content).decode()
                yield encoded[(0, 2, 3)[offset] : (offset + len(content)) * 8 // 6]


# ------------------------------------------------------------------------------------------------- the keeper `file`


@frozen
class _Kept:
    secret: Secret
    owner: str
    purge_at: float | None = None  # seconds since 1970; set while it is in the bin


class FileKeeper:
    """Secrets in one JSON file in plain text, that only its owner can read, as `gh`, `aws` and `llm` keep theirs.

    Several processes and threads may use it at once. Nothing is created before the first secret is put.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, lock_wait: float = 10.0) -> None:
        """A keeper.

        Args:
            path: the file.
            clock: the time, in seconds since 1970.
            lock_wait: longest wait for another process that is writing, in seconds.
        """
        self.path = path
        self._clock = clock
        self._lock_wait = lock_wait
        self._warned = False

    def get(self, id: str) -> Secret:
        """See `Keeper`."""
        kept = self._read().get(id)
        if kept is None or kept.purge_at is not None:
            state = "holds no secret" if kept is None else "has in its bin the secret"
            raise MissingSecret(f"{self.path} {state} {id}; give the value anew")
        return kept.secret

    def put(self, text: str, *, owner: str) -> str:
        """See `Keeper`."""
        with self._changing() as kept:
            id = tokens.token_hex(8)
            kept[id] = _Kept(Secret(text), owner)
        return id

    def remove(self, id: str) -> None:
        """See `Keeper`."""
        with self._changing() as kept:
            if id in kept and kept[id].purge_at is None:
                kept[id] = evolve(kept[id], purge_at=self._clock() + _BIN)

    def restore(self, id: str) -> None:
        """See `Keeper`."""
        with self._changing() as kept:
            if id not in kept:
                raise MissingSecret(f"The secret {id} is not in the bin of {self.path} any more; give the value anew")
            kept[id] = evolve(kept[id], purge_at=None)

    def owner(self, id: str) -> str | None:
        """See `Keeper`."""
        kept = self._read().get(id)
        return None if kept is None else kept.owner

    def ids(self) -> tuple[str, ...]:
        """See `Keeper`."""
        return tuple(id for id, kept in self._read().items() if kept.purge_at is None)

    def purge(self) -> int:
        """See `Keeper`."""
        if len(self._unexpired(before := self._read())) == len(before):
            return 0
        with self._changing() as kept:
            return len(before) - len(kept)

    def warning(self) -> str | None:
        """What is to be said if others on this machine can read the file."""
        if sys.platform == "win32":
            return None
        mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0
        return f"Others can read {self.path} (mode {mode:o}): chmod 600 {self.path}" if mode & 0o077 else None

    def _unexpired(self, kept: Mapping[str, _Kept]) -> dict[str, _Kept]:
        now = self._clock()
        return {id: one for id, one in kept.items() if one.purge_at is None or one.purge_at > now}

    def _read(self) -> dict[str, _Kept]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(
                f"The secrets in {self.path} cannot be read: {error.strerror}. Let the user of this process read it."
            ) from error
        if not self._warned and (warning := self.warning()):
            self._warned = True
            _logger.warning(warning)
        try:
            return _kept_from_json(json.loads(content))
        except (ValueError, TypeError, LookupError, AttributeError):
            raise ConfigError(  # without the cause, which would show the file's content
                f"{self.path} is damaged, or was written by a newer version. "
                "Bring it back from a backup; or move it away, and give each secret anew."
            ) from None

    @contextmanager
    def _changing(self) -> Iterator[dict[str, _Kept]]:
        try:
            path = self.path.resolve()  # a link stays one
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(path.with_name(path.name + ".lock"), wait=self._lock_wait):
                kept = self._unexpired(self._read())
                yield kept
                _replace(path, json.dumps(_kept_to_json(kept), indent=1).encode())
        except OSError as error:
            raise ConfigError(
                f"The secrets cannot be written to {self.path}: {error.strerror}. "
                "Make its folder writable, or name another one in PROUTER_HOME."
            ) from error


def _kept_from_json(data: Any) -> dict[str, _Kept]:
    if data["version"] != 1:
        raise ValueError("not our version")
    kept = {}
    for id, entry in data["secrets"].items():
        text, owner, purge_at = entry["value"], entry["owner"], entry.get("purgeAt")
        if not (isinstance(text, str) and isinstance(owner, str) and isinstance(purge_at, int | float | None)):
            raise TypeError("not our shape")
        kept[id] = _Kept(Secret(text), owner, purge_at)
    return kept


def _kept_to_json(kept: Mapping[str, _Kept]) -> dict[str, Any]:
    entries = {}
    for id, one in kept.items():
        entries[id] = {"value": one.secret.reveal(), "owner": one.owner, "purgeAt": one.purge_at}
    return {"version": 1, "secrets": entries}


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is whole at every moment, and private from its first."""
    new = path.with_name(f".{path.name}.{tokens.token_hex(4)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        for tries_left in range(50, -1, -1):
            try:
                new.replace(path)
                return
            except PermissionError:
                # Windows replaces no file that somebody has open; readers are done in a moment.
                if sys.platform != "win32" or not tries_left:
                    raise
                time.sleep(0.02)
    finally:
        new.unlink(missing_ok=True)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def _locked(path: Path, *, wait: float) -> Iterator[None]:
    """Be the only one. The lock is the system's, so that a process that dies leaves none behind."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + wait
        while not _try_lock(descriptor):
            if time.monotonic() > until:
                raise ConfigError(
                    f"Another process has been writing to the secrets for {wait:g} s ({path}). Try again."
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
