"""A new plugin: a whole package for a provider type, written from the templates that lie beside this file."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Final

from attrs import frozen

from provider_router.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_PREFIX: Final = "provider-router-"
# Template → where it goes; `$$` in a template is a dollar sign.
_FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "module.py": "src/{package}/__init__.py",
    "suite.py": "tests/test_{module}.py",
}


@frozen(kw_only=True)
class NewPlugin:
    """A plugin that was written. `files` are relative to `folder`."""

    type: str
    package: str
    folder: Path
    files: tuple[str, ...]


def write_plugin(name: str, folder: Path | None = None) -> NewPlugin:
    """Write a package that can be installed, and whose tests pass.

    Args:
        name: of the provider type, such as `heron`; the package is `provider-router-heron` then.
        folder: where to; it must not be there yet. `provider-router-NAME` here unless given.

    Raises:
        ConfigError: the name will not do, or the folder is there already.
    """
    called = name.removeprefix(_PREFIX)
    if not _NAME.match(called):
        raise ConfigError(f"{name!r} can be no type's name: small letters and digits, with single hyphens between them")
    module = called.replace("-", "_")
    words = called.split("-")
    known = {
        "type": called,
        "module": module,
        "package": f"provider_router_{module}",
        "distribution": _PREFIX + called,
        "class_name": "".join(word.capitalize() for word in words),
        "label": " ".join(word.capitalize() for word in words),
    }
    folder = folder or Path(known["distribution"])
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already: name another folder with --folder")
    files = []
    for template, where in _FILES.items():
        text = Template((Path(__file__).parent / f"{template}.template").read_text(encoding="utf-8"))
        files.append(where.format(**known))
        _write(folder / files[-1], text.substitute(known))
    files.append(f"src/{known['package']}/py.typed")
    _write(folder / files[-1], "")
    return NewPlugin(type=called, package=known["package"], folder=folder, files=tuple(files))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
