"""Other people's clients beside the Router: many callers, slow backends, TLS, streams, memory.

A peer is installed into an environment of its own below `.venv/peers`; one that cannot be is left out, with a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import QUICK, Effort, Row
from benchmarks.upstream import upstream

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".venv" / "peers"
PACKAGES = {"aiohttp": "aiohttp", "OpenAI SDK": "openai", "LiteLLM Router": "litellm"}
OURS = "AsyncRouter"
Ask = Callable[[Mapping[str, Any]], dict[str, float]]
_EVERYBODYS_TURNS = 2  # some peers take seconds of CPU for one round of 256 callers
EVERYBODY = (OURS, "httpx", "httpx2", "aiohttp", "OpenAI SDK", "LiteLLM Router")


def rows(base_url: str, effort: Effort) -> Iterator[Row]:
    """All of them; what is slow on purpose has its own addresses at the backend."""
    quick = effort is QUICK
    here = [name for name in EVERYBODY if not (quick and name in PACKAGES) and interpreter(name, install=True)]
    seconds, turns = (0.05, 1) if quick else (0.4, 11)
    few_turns = min(turns, _EVERYBODYS_TURNS)  # where no goal is at stake
    slow_url = base_url.replace("/v1", "/after-200ms/v1")
    with authority() as file, contextlib.ExitStack() as opened:
        ask = {name: opened.enter_context(worker(name, file)) for name in ("a socket", *here)}
        everybody = {name: ask[name] for name in here}
        for callers, goal in ((1, 0.30), (16, None), (64, 1.2), (256, None)):
            job = {"job": "calls", "url": base_url, "callers": callers, "seconds": seconds}
            reference = "httpx" if callers == 1 else "aiohttp"
            turns_of = turns if goal else few_turns
            yield from compared(f"{callers} at once", everybody, job, turns=turns_of, reference=reference, goal=goal)
        for callers in (64, 256):
            job = {"job": "calls", "url": slow_url, "callers": callers, "seconds": seconds * 2}
            subject = f"{callers} at once, an answer takes 200 ms"
            yield from compared(subject, everybody, job, turns=few_turns, reference="aiohttp")
        if file is not None:
            secure_url = opened.enter_context(upstream(file))
            for callers, reference, goal in ((1, "httpx", 0.30), (64, "aiohttp", 1.2)):
                job = {"job": "calls", "url": secure_url, "authority": file, "callers": callers, "seconds": seconds}
                subject = f"{callers} at once, TLS"
                yield from compared(subject, everybody, job, turns=turns, reference=reference, goal=goal)
        for subject, url, turns_of in (
            ("a chunk, 64 streams at full speed", base_url, turns),
            ("a chunk, 64 streams, one each 20 ms", base_url.replace("/v1", "/every-20ms/v1"), min(turns, 5)),
        ):
            job = {"job": "streams", "url": url, "callers": 64, "seconds": seconds}
            yield from compared(subject, everybody, job, turns=turns_of, reference="httpx2", goal=0.50)
        for subject, url, goal in (
            ("time to the first chunk, one each ms (not CPU)", base_url.replace("/v1", "/every-1ms/v1"), 1.2),
            ("time to the first chunk, full speed (not CPU)", base_url, None),
        ):
            job = {"job": "first", "url": url, "count": 5 if quick else 20}
            yield from compared(subject, ask, job, turns=turns, reference="a socket", goal=goal)
    yield from kept(base_url, effort)


def kept(base_url: str, effort: Effort) -> Iterator[Row]:
    """What the Router holds on to, and whether a thousand streams get on alike."""
    few, many, streams = (50, 100, 20) if effort is QUICK else (2_000, 20_000, 1_000)
    with worker(OURS) as ask:
        was = ask({"job": "memory", "url": base_url, "few": few, "many": many})
    if was["after"]:
        grown = was["after"] / was["before"]
        yield shown("memory", f"after {few:,} calls", f"{was['before'] / 1e6:.1f} MB")
        yield shown("memory", f"after {many:,} calls", f"{was['after'] / 1e6:.1f} MB", grown, 1.1)
    with worker(OURS) as ask:
        found = ask({"job": "held", "url": base_url.replace("/v1", "/every-500ms/v1"), "streams": streams})
    subject = f"{streams:,} streams open, a chunk each 500 ms"
    if found["bytes"]:
        yield shown(subject, "memory of one", f"{found['bytes'] / 1e3:.1f} KB", found["bytes"] / 50e3, 1.0)
    yield shown(subject, "the slowest against the median", f"{found['slowest']:.3f} ×", found["slowest"], 1.1)
    yield shown(subject, "the loop is late, p99", f"{found['p99'] * 1e3:.1f} ms")


def shown(subject: str, name: str, figure: str, ratio: float | None = None, goal: float | None = None) -> Row:
    return Row(subject=subject, name=name, cpu=0.0, figure=figure, ratio=ratio, goal=goal)


def compared(
    subject: str,
    ask: Mapping[str, Ask],
    job: Mapping[str, Any],
    *,
    turns: int,
    reference: str,
    goal: float | None = None,
) -> Iterator[Row]:
    """Let processes take turns at a job; all stand open meanwhile, so that each finds the machine as the others do.

    Only the reference and ours take all of the turns, since a goal is set for these two.
    """
    taken: dict[str, list[float]] = {name: [] for name in ask}
    for turn in range(turns):
        for name, its in taken.items():
            if turn < _EVERYBODYS_TURNS or name in (reference, OURS):
                its.extend(ask[name](job).values())
    base = taken.get(reference)
    for name in sorted(taken, key=lambda name: name != reference):
        ratio = None
        if base is not None and name != reference:
            ratio = statistics.median(mine / its for mine, its in zip(taken[name], base))
        figure = f"{statistics.median(taken[name]) * 1e6:,.1f} µs"
        yield shown(subject, name, figure, ratio, goal if name == OURS and ratio is not None else None)


@contextlib.contextmanager
def worker(name: str, authority: str | None = None) -> Iterator[Ask]:
    """A contestant's process, as a function from a job to what it measured."""
    program = interpreter(name)
    assert program is not None
    # Nobody is to look anything up in the network.
    environment = (
        os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"} | ({"SSL_CERT_FILE": authority} if authority else {})
    )
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,
        subprocess.Popen(
            [program, "-m", "benchmarks.worker", name],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        told, hears = process.stdout, process.stdin
        assert told is not None
        assert hears is not None

        def line() -> str:
            text = told.readline()
            if not text:
                process.wait()
                said.seek(0)
                raise RuntimeError(f"{name} ended: {said.read()[-2000:]}")
            return text

        def ask(job: Mapping[str, Any]) -> dict[str, float]:
            hears.write(json.dumps(dict(job)) + "\n")
            hears.flush()
            while not (answer := line()).startswith("{"):  # some libraries have advice to give
                pass
            figures: dict[str, float] = json.loads(answer)
            return figures

        while line() != "ready\n":
            pass
        yield ask
        hears.close()


def interpreter(name: str, *, install: bool = False) -> str | None:
    """The Python that has this contestant; None where it has none and none can be made."""
    package = PACKAGES.get(name)
    if package is None:
        return sys.executable
    folder = ENVIRONMENTS / package
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "installed"
    if not done.exists():
        if not install:
            return None
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        if subprocess.run(pip, capture_output=True, check=False, timeout=600).returncode:
            print(f"{package} cannot be installed, so it is left out.", file=sys.stderr)
            return None
        done.touch()
    return str(python)


def version(name: str) -> str | None:
    """The version of a contestant's library, if it is there."""
    package = PACKAGES.get(name, name)
    if (python := interpreter(name)) is None:
        return None
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def authority() -> Iterator[str | None]:
    """A file with a certificate for 127.0.0.1 and its key; None where there is nothing to make one with."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        print("TLS is left out: it needs the package cryptography.", file=sys.stderr)
        yield None
        return
    import datetime
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmarks")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "certificate.pem"
        file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        yield str(file)
