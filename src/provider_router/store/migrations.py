"""The tables of the configuration's database, as numbered steps that only go forward."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from provider_router.errors import CorruptDatabase, ForeignDatabase, NewerDatabase

if TYPE_CHECKING:
    from sqlite_utils import Database


@frozen(kw_only=True)
class Schema:
    """What a database file of ours holds.

    Attributes:
        name: what the file is called in messages, and the name of its set of migrations.
        application_id: the four bytes in the file's header by which it is known as ours.
        steps: the migrations, oldest first. A released one is never changed.
        instead: what to do where a file cannot be used.
    """

    name: str
    application_id: int
    steps: tuple[Callable[[Database], None], ...]
    instead: str

    def pending(self, connection: sqlite3.Connection, path: Path) -> list[str]:
        """Names of the steps that the file lacks; all of them for a new file. Writes nothing.

        Raises:
            ForeignDatabase: another program made the file, or it is another of our files.
            NewerDatabase: it has steps that this version does not know.
        """
        application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
        if application_id != self.application_id:
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if application_id or tables:
                raise ForeignDatabase(
                    f"{path} is a SQLite database of something else. It was left as it is: {self.instead}."
                )
            return [step.__name__ for step in self.steps]
        # Read without sqlite-utils, whose import costs more than all the rest of opening a file.
        applied = {
            row[0]
            for row in connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", [self.name])
        }
        known = [step.__name__ for step in self.steps]
        if unknown := sorted(applied.difference(known)):
            raise NewerDatabase(
                f"{path} was made by a newer provider-router (it has {', '.join(unknown)}). It was left as it is: "
                f"update with `pip install --upgrade provider-router`; or {self.instead}."
            )
        return [name for name in known if name not in applied]

    def migrate(self, connection: sqlite3.Connection, path: Path) -> None:
        """Apply what is pending, inside the caller's transaction, with foreign keys off.

        Raises:
            CorruptDatabase: a row refers to one that is not there.
        """
        from sqlite_utils import Database, Migrations

        migrations = Migrations(self.name)
        for step in self.steps:
            migrations()(step)
        # Without execute_plugins=False every sqlite-utils plugin that happens to be installed would run in our process.
        migrations.apply(Database(connection, execute_plugins=False))
        connection.execute(f"PRAGMA application_id = {self.application_id}")
        if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
            tables = ", ".join(sorted({row[0] for row in broken}))
            raise CorruptDatabase(
                f"{path} is damaged: {len(broken)} rows of {tables} refer to rows that are gone. "
                "It was left as it is: restore a backup."
            )


def _time(column: str) -> str:
    """A column for an instant, in milliseconds since 1970 (UTC)."""
    return (
        f"{column} INTEGER NOT NULL CONSTRAINT \"{column} is whole milliseconds\" CHECK (typeof({column}) = 'integer')"
    )


def _flag(column: str, default: int) -> str:
    return f'{column} BOOLEAN NOT NULL DEFAULT {default} CONSTRAINT "{column} is 0 or 1" CHECK ({column} IN (0, 1))'


def _given(column: str) -> str:
    return f"{column} TEXT NOT NULL CONSTRAINT \"{column} is not empty\" CHECK ({column} <> '')"


def _json(column: str, kind: str) -> str:
    """A column for JSON text, `kind` being what SQLite's json_type() says of it."""
    return f"{column} TEXT CONSTRAINT \"{column} is a JSON {kind}\" CHECK (json_type({column}) = '{kind}')"


_KIND = (
    "kind TEXT NOT NULL DEFAULT 'text' CONSTRAINT \"kind is text, int, float, bool, json or reference\" "
    "CHECK (kind IN ('text', 'int', 'float', 'bool', 'json', 'reference'))"
)


def _reference(column: str) -> str:
    schemes = " OR ".join(f"{column} GLOB '{scheme}:*'" for scheme in ("env", "file", "keyring", "cmd", "secret"))
    return f'{column} TEXT NOT NULL CONSTRAINT "{column} is a secret\'s reference" CHECK ({schemes})'


# Names of constraints are sentences: SQLite quotes the one that was broken, and so the message explains itself.
_FIRST_TABLES = (
    f"""CREATE TABLE providers (
        id TEXT PRIMARY KEY NOT NULL CONSTRAINT "id is not empty" CHECK (id <> ''),
        {_given("name")},
        {_given("type")},
        {_flag("enabled", 1)},
        priority INTEGER NOT NULL DEFAULT 0
            CONSTRAINT "priority is a whole number" CHECK (typeof(priority) = 'integer'),
        description TEXT,
        {_time("created_at")},
        {_time("updated_at")},
        UNIQUE (name)
    )""",
    f"""CREATE TABLE provider_configs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        provider_id TEXT NOT NULL,
        {_given("key")},
        value TEXT NOT NULL,
        {_flag("is_sensitive", 0)},
        {_time("created_at")},
        {_time("updated_at")},
        {_KIND},
        FOREIGN KEY (provider_id) REFERENCES providers(id) ON DELETE CASCADE,
        UNIQUE (provider_id, key),
        CONSTRAINT "a sensitive option holds a reference, never the secret"
            CHECK (is_sensitive = 0 OR kind = 'reference')
    )""",
    f"""CREATE TABLE models (
        id TEXT PRIMARY KEY NOT NULL CONSTRAINT "id is not empty" CHECK (id <> ''),
        {_given("name")},
        description TEXT,
        {_json("capabilities", "array")},
        {_time("created_at")},
        {_time("updated_at")},
        alias_of TEXT CONSTRAINT "a model is no alias of itself" CHECK (alias_of <> id),
        {_json("fallbacks", "array")},
        zone TEXT CONSTRAINT "zone is loopback, lan or internet" CHECK (zone IN ('loopback', 'lan', 'internet'))
    )""",
    f"""CREATE TABLE provider_models (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        provider_id TEXT NOT NULL,
        model_id TEXT NOT NULL,
        {_flag("is_default", 0)},
        {_json("config", "object")},
        {_time("created_at")},
        {_time("updated_at")},
        FOREIGN KEY (provider_id) REFERENCES providers(id) ON DELETE CASCADE,
        FOREIGN KEY (model_id) REFERENCES models(id) ON DELETE CASCADE,
        UNIQUE (provider_id, model_id)
    )""",
    f"""CREATE TABLE settings (
        key TEXT PRIMARY KEY NOT NULL CONSTRAINT "key is not empty" CHECK (key <> ''),
        value TEXT NOT NULL,
        updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now') + 0)
            CONSTRAINT "updated_at is whole seconds" CHECK (typeof(updated_at) = 'integer'),
        {_KIND}
    )""",
    f"""CREATE TABLE qwen_credentials (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        {_reference("token")},
        {_reference("cookies")},
        expires_at INTEGER CONSTRAINT "expires_at is whole milliseconds"
            CHECK (expires_at IS NULL OR typeof(expires_at) = 'integer'),
        {_time("created_at")},
        {_time("updated_at")}
    )""",
    f"""CREATE TABLE changes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        {_time("at")},
        {_given("who")},
        {_given("what")},
        {_given("noun")},
        subject TEXT NOT NULL,
        before TEXT CONSTRAINT "before is JSON" CHECK (before IS NULL OR json_valid(before)),
        after TEXT CONSTRAINT "after is JSON" CHECK (after IS NULL OR json_valid(after)),
        {_json("providers", "array")},
        {_json("models", "array")}
    )""",
    "CREATE INDEX idx_providers_type ON providers(type)",
    "CREATE INDEX idx_providers_enabled ON providers(enabled)",
    "CREATE INDEX idx_providers_priority ON providers(priority DESC)",
    "CREATE INDEX idx_provider_configs_provider_id ON provider_configs(provider_id)",
    "CREATE INDEX idx_provider_models_provider_id ON provider_models(provider_id)",
    "CREATE INDEX idx_provider_models_model_id ON provider_models(model_id)",
    "CREATE UNIQUE INDEX idx_provider_models_one_default ON provider_models(provider_id) WHERE is_default = 1",
    "CREATE INDEX idx_qwen_credentials_expires ON qwen_credentials(expires_at)",
)


def m001_configuration(db: Database) -> None:
    """The seed's tables, with what routing needs beside them."""
    for statement in _FIRST_TABLES:
        db.execute(statement)


def m002_sealed_secrets(db: Database) -> None:
    """Secrets in the database itself, encrypted with a key that comes from outside."""
    db.execute(
        f"""CREATE TABLE sealed_secrets (
            id TEXT PRIMARY KEY NOT NULL CONSTRAINT "id is not empty" CHECK (id <> ''),
            {_given("owner")},
            token TEXT NOT NULL CONSTRAINT "token is sealed" CHECK (token GLOB 'gAAAA*'),
            {_time("created_at")},
            purge_at INTEGER CONSTRAINT "purge_at is whole milliseconds"
                CHECK (purge_at IS NULL OR typeof(purge_at) = 'integer')
        )"""
    )


CONFIGURATION = Schema(
    name="provider-router",
    application_id=int.from_bytes(b"PRCo"),
    steps=(m001_configuration, m002_sealed_secrets),
    instead="restore a backup, or name another file with --db or PROUTER_DB",
)
