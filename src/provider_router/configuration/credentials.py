"""Credentials: the login at chat.qwen.ai, kept as references to its secrets."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from provider_router.configuration.draft import reference_problems
from provider_router.configuration.editor import Change, Editor
from provider_router.configuration.names import near_miss
from provider_router.errors import ConfigError, InvalidConfig
from provider_router.providers.config import MASKS
from provider_router.providers.secrets import Secret
from provider_router.store import CredentialRecord, now


@frozen
class Credentials:
    """`admin.credentials`. Records hold references, never the token or the cookies themselves."""

    _editor: Editor

    def set(self, token: str | Secret, cookies: str | Secret, expires_at: datetime | None = None) -> CredentialRecord:
        """Set the login; it takes the place of every one before it.

        Args:
            token: the value of the header `bx-umidtoken`, or a reference to it (`env:QWEN_TOKEN`).
            cookies: the value of the header `Cookie`, or a reference to it.
            expires_at: when it ends, with a time zone.

        Raises:
            InvalidConfig: every value that will not do.
        """
        values = {"token": token, "cookies": cookies}
        problems = [problem for field, value in values.items() for problem in self._problems(field, value)]
        instant: object = expires_at
        if instant is not None and (not isinstance(instant, datetime) or instant.tzinfo is None):
            problems.append("expires_at: has to be a time with a time zone")
        if problems:
            raise InvalidConfig("The credentials cannot be like this:", problems)
        with self._editor.change() as change:
            before = self._clear(change)
            if expires_at is not None:  # the tables keep whole milliseconds
                expires_at = expires_at.replace(microsecond=expires_at.microsecond // 1000 * 1000)
            record = self._editor.store.credentials.add(
                CredentialRecord(
                    token=change.reference(token, owner="credentials/token"),
                    cookies=change.reference(cookies, owner="credentials/cookies"),
                    expires_at=expires_at,
                )
            )
            change.tell("set the credentials", noun="credential", subject="qwen", before=before, after=[record])
        return record

    def list(self) -> tuple[CredentialRecord, ...]:
        """All logins, the newest first."""
        return self._editor.store.credentials.list()

    def current(self) -> CredentialRecord | None:
        """The login in use: the newest one that has not expired, or None."""
        return self._editor.store.credentials.current(now())

    def remove(self, id: int | None = None) -> tuple[CredentialRecord, ...]:
        """Remove one login, or all of them.

        Returns:
            What was removed.

        Raises:
            ConfigError: there is none of this number.
        """
        with self._editor.change() as change:
            known = [str(record.id) for record in self.list()]
            if id is not None and str(id) not in known:
                raise ConfigError(f"There are no credentials {id}: {near_miss(str(id), known)}")
            before = self._clear(change, id)
            if before:
                change.tell("removed the credentials", noun="credential", subject="qwen", before=before)
        return before

    def _clear(self, change: Change, id: int | None = None) -> tuple[CredentialRecord, ...]:
        records = tuple(record for record in self.list() if id is None or record.id == id)
        for record in records:
            assert record.id is not None
            self._editor.store.credentials.remove(record.id)
            change.drop_secret(record.token)
            change.drop_secret(record.cookies)
        return records

    def _problems(self, field: str, value: object) -> tuple[str, ...]:
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str) or not text.strip():
            return (f"{field}: has to be a text that is not empty",)
        if text in MASKS:
            return (f"{field}: this is the mask that stands for a secret; give the secret itself",)
        if any(ord(character) < 32 for character in text):
            return (f"{field}: holds a line break or another control character",)
        return tuple(f"{field}: {problem}" for problem in reference_problems(value, local=self._editor.local))
