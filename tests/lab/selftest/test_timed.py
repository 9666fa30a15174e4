"""A test that hangs is ended and named: Rust's by tests/timed, the lab's own by pytest-timeout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import HERE, until

TIMED = HERE.parent / "timed"

# What Rust's harness prints; the sleep is what a test of it started.
HARNESS = """
echo 'running 3 tests'
echo 'test quick ... ok'
{line}
sleep 300 & echo $! >sleep.pid
wait
"""


def timed(directory: Path, limit: str, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TIMED, limit, "sh", "-c", script], cwd=directory, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("limit", "line", "name"),
    [
        ("61", "echo 'test module::hangs has been running for over 60 seconds'", "module::hangs"),
        ("1", "printf 'test module::alone ... '", "module::alone"),
        ("1", "echo 'test module::own ... begins'", "module::own"),
        ("1", ":", "no test is known by name"),
    ],
)
def test_who_hangs_is_named_and_ended(tmp_path: Path, limit: str, line: str, name: str) -> None:
    done = timed(tmp_path, limit, HARNESS.format(line=line))
    assert done.returncode == 124 and f"HANGS, and is ended after {limit} s: {name}" in done.stderr
    assert "sleep (" in done.stderr and "test quick ... ok" in done.stdout
    pid = (tmp_path / "sleep.pid").read_text().strip()
    until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or Path(f"/proc/{pid}/cmdline").read_text() == "", patience=5)


def test_who_ends_in_time_is_let_go(tmp_path: Path) -> None:
    done = timed(tmp_path, "61", "echo 'test slow has been running for over 60 seconds'; echo 'test slow ... FAILED'; sleep 2; exit 101")
    assert (done.returncode, done.stderr) == (101, "")


@pytest.mark.skipif("RMACHINE_FAULTS_FULL" not in os.environ, reason="takes a minute: with tests/run --full")
def test_rusts_own_harness_says_what_is_expected_of_it(tmp_path: Path) -> None:
    rustc = shutil.which("rustc") or str(Path.home() / ".cargo/bin/rustc")
    (tmp_path / "hang.rs").write_text("#[test] fn quick() {} #[test] fn hangs() { loop { std::thread::park(); } }")
    subprocess.run([rustc, "--test", "hang.rs"], cwd=tmp_path, check=True)
    done = timed(tmp_path, "61", "./hang")
    assert done.returncode == 124 and "is ended after 61 s: hangs\n" in done.stderr


def test_a_hanging_test_of_the_labs_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import subprocess\ndef test_hangs(): subprocess.run(['sleep', '300'])\ndef test_next(): pass\n")
    command: list[str | Path] = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", HERE / "pytest.ini", "--rootdir", tmp_path]
    begun = time.monotonic()
    done = subprocess.run([*command, "--timeout", "1", tmp_path], cwd=tmp_path, capture_output=True, text=True)
    assert time.monotonic() - begun < 60
    assert "FAILED" in done.stdout and "test_hangs - Failed: Timeout" in done.stdout and "1 passed" in done.stdout
    assert "timeout: 600.0s" in subprocess.run([*command, "-v", tmp_path, "-k", "next"], capture_output=True, text=True).stdout
