"""Whole programs: our wheels, built here and installed into an environment that has nothing else of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from attrs import frozen
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECTS = {
    "provider_router": ROOT,
    "provider_router_lm_studio": ROOT / "plugins" / "lm_studio",
    "provider_router_openai_compatible": ROOT / "plugins" / "openai_compatible",
    "provider_router_qwen_direct": ROOT / "plugins" / "qwen_direct",
    "provider_router_qwen_proxy": ROOT / "plugins" / "qwen_proxy",
    "provider_router_parrot": ROOT / "examples" / "parrot_provider",
    "provider_router_ollama": ROOT / "examples" / "ollama_provider",
}
# What would show the programs more of the development environment than their own has.
_FOREIGN = ("PYTHON", "VIRTUAL_ENV", "COVERAGE_", "PYTEST_")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by the name of their package, built without a network."""
    folder = tmp_path_factory.mktemp("wheels")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder)]
    subprocess.run([*pip, *map(str, PROJECTS.values())], check=True, timeout=100)
    built = {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}
    assert set(PROJECTS) == set(built)
    return built


@frozen
class Environment:
    """A virtual environment that has some of our wheels, what they require, and nothing else.

    What they require comes from the environment that runs the tests: the files of exactly those distributions that
    the metadata of the wheels names, and of those that these name in turn. So nothing is fetched, no editable
    installation of ours shines through, and a requirement that nobody declared is missed at once.
    """

    folder: Path

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    @property
    def packages(self) -> Path:
        """The folder `site-packages`."""
        done = self.run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
        return Path(done.stdout.strip())

    @classmethod
    def create(cls, folder: Path, wheels: Iterable[Path], *, tools: Sequence[str] = ()) -> Environment:
        """Make one.

        Args:
            folder: where; it must not be there yet.
            wheels: what of ours to install.
            tools: what else to put there, as requirements (`anyio[trio]`).
        """
        venv.EnvBuilder(symlinks=os.name != "nt").create(folder)
        environment = cls(folder)
        options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        pip = [sys.executable, "-m", "pip", "--python", str(environment.python), "install", *options]
        subprocess.run([*pip, *map(str, wheels)], check=True, timeout=100)
        packages = environment.packages
        ours = list(distributions(path=[str(packages)]))
        required = [Requirement(line) for found in ours for line in found.requires or ()]
        for found in _closure([*required, *map(Requirement, tools)], without={_name_of(found) for found in ours}):
            _link(found, packages)
        return environment

    def run(
        self, program: Path | str, *arguments: str, input: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the environment, and only with what it has; a name means one of its scripts."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        path = str(self.scripts) + os.pathsep + inherited.get("PATH", "")
        found = shutil.which(str(program), path=path) if isinstance(program, str) else str(program)
        assert found is not None
        return subprocess.run(
            [found, *arguments],
            env=inherited | {"PATH": path} | variables,
            cwd=self.folder,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
        )


def _name_of(found: Distribution) -> str:
    return canonicalize_name(found.metadata["Name"])


def _closure(requirements: Iterable[Requirement], *, without: set[str]) -> Iterator[Distribution]:
    """What the requirements name, directly or not, each once, with the markers and extras of this system."""
    seen: set[tuple[str, str]] = set()
    given: set[str] = set(without)
    waiting = [(requirement, "") for requirement in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in without or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        found = distribution(requirement.name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(line), wanted) for line in found.requires or ()]
        if name not in given:
            given.add(name)
            yield found


def _link(found: Distribution, packages: Path) -> None:
    """Put the files of a distribution there too; its scripts, which lie elsewhere, are left out."""
    for file in found.files or ():
        if ".." in file.parts:
            continue
        source, target = Path(str(found.locate_file(file))), packages / file
        if not source.exists():  # compiled files come and go
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copy2(source, target)


@pytest.fixture(scope="session")
def make_environment(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    """Make an environment with these packages of ours: `make_environment("provider_router", tools=["pytest"])`."""

    def make(*names: str, tools: Sequence[str] = ()) -> Environment:
        folder = tmp_path_factory.mktemp("environment") / "venv"
        return Environment.create(folder, [wheels[name] for name in names], tools=tools)

    return make


@pytest.fixture(scope="session")
def environment(make_environment: Callable[..., Environment]) -> Environment:
    """An environment with all our wheels."""
    return make_environment(*PROJECTS)
