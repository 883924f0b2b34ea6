from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provider_router.demo import run_demo


def test_the_demo_shows_what_it_promises(prouter_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = io.StringIO()
    begun = time.monotonic()
    steps = run_demo(out, pace=0.0)
    assert time.monotonic() - begun < 10
    assert ["desk", "desk", "loft", "loft", "attic"] == [step.provider for step in steps]
    assert [1, 1, 2, 1, 1] == [len(step.attempts) for step in steps]
    assert "connect" == steps[2].attempts[0].failure
    text = out.getvalue()
    for part in (
        "word by word",
        "refused",
        "→ loft: ok",
        "priority 99",
        "3. desk   open",
        "prouter add",
        "prouter chat",
        "prouter plan",
    ):
        assert part in text
    assert all(step.text in text for step in steps)
    assert not prouter_home.exists()
    assert [] == list(tmp_path.iterdir())


def test_the_command_runs_it_in_ascii_where_need_be(prouter_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "provider_router", "demo"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=60,
    )
    assert (0, b"") == (done.returncode, done.stderr)
    assert b"refused" in done.stdout
    assert b" -> loft: ok" in done.stdout
    assert not prouter_home.exists()


def test_for_programs_its_steps_are_json() -> None:
    done = subprocess.run([sys.executable, "-m", "provider_router", "demo", "--json"], capture_output=True, text=True)
    assert 0 == done.returncode
    assert ["desk", "desk", "loft", "loft", "attic"] == [step["provider"] for step in json.loads(done.stdout)]
    assert "word by word" in done.stderr


@pytest.mark.posix
def test_an_interrupt_cleans_up(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "provider_router", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "word by word" in line:
            break
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (130, "") == (running.returncode, err.strip())
    assert [] == list(tmp_path.iterdir())
