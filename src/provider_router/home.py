"""Where things are kept: PROUTER_HOME, PROUTER_DB, and the platform's own folders.

The environment is read here and for `env:` references, nowhere else. Nothing is created: who writes a file makes its
folder.
"""

from __future__ import annotations

import os
from pathlib import Path

_APPLICATION = "provider-router"


def _home() -> Path | None:
    """The one folder for everything, where PROUTER_HOME names it."""
    named = os.environ.get("PROUTER_HOME")
    return Path(named).expanduser().absolute() if named else None


def config_folder() -> Path:
    """The folder of what the user decides and must keep private: the secrets."""
    if home := _home():
        return home
    import platformdirs

    return platformdirs.user_config_path(_APPLICATION, appauthor=False)


def data_folder() -> Path:
    """The folder of the databases. It may be shown and copied: unless PROUTER_HOME joins both, no secret is in it."""
    if home := _home():
        return home
    import platformdirs

    folder = platformdirs.user_data_path(_APPLICATION, appauthor=False)
    # macOS and Windows have one folder for both; a copy of the data must not take the secrets along.
    return folder / "data" if folder == config_folder() else folder


def database_path(explicit: str | Path | None = None) -> Path:
    """The absolute path of the configuration's database: as named, else PROUTER_DB, else in the data folder."""
    named = explicit or os.environ.get("PROUTER_DB")
    return Path(named).expanduser().absolute() if named else data_folder() / "provider-router.db"


def history_path(database: Path) -> Path:
    """The history's database, beside the configuration's: `router.db` → `router.history.db`."""
    return database.with_name(f"{database.stem}.history{database.suffix or '.db'}")


def secrets_path() -> Path:
    """The file in which the keeper `file` has its secrets."""
    return config_folder() / "secrets.json"


def keyring_list_path() -> Path:
    """The file in which the keeper `keyring` notes which secrets it has given to the system's keyring."""
    return config_folder() / "keyring.json"


def sealing_key() -> str | Path | None:
    """What seals the secrets in the database, as text or as the file that has it, from the first place that says.

    PROUTER_SECRET_KEY, PROUTER_SECRET_KEY_FILE, or the credential `prouter-secret-key` that systemd hands in.
    """
    if text := os.environ.get("PROUTER_SECRET_KEY", "").strip():
        return text
    if named := os.environ.get("PROUTER_SECRET_KEY_FILE"):
        return Path(named).expanduser()
    if folder := os.environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / "prouter-secret-key"
        return credential if credential.exists() else None
    return None


def routing_environment() -> dict[str, str]:
    """The variables `PROUTER_ROUTING_…` that are set, by their names."""
    return {name: text for name, text in os.environ.items() if name.startswith("PROUTER_ROUTING_") and text}


def stock_transport() -> bool:
    """Whether `PROUTER_TRANSPORT=httpx` wants httpx's own transport in place of the faster one."""
    return os.environ.get("PROUTER_TRANSPORT", "").strip().lower() == "httpx"
