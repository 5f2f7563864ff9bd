"""Make .venv from the pinned, hashed lock. Needs nothing but Python 3.11 or newer and its venv module.

Every failure is one sentence that says what to do; running it again continues.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED_GB = 8.0  # 5.5 for the environment, the rest while it is being unpacked
_NETWORK = (
    r"name resolution|Failed to establish|onnection (refused|reset|error)|timed out|dns error|ConnectError|"
    r"error sending request|Network is unreachable|Max retries|from versions: none|"
    r"[Ff]ailed to (fetch|download)"
)


class SetupError(Exception):
    """Something that the user can fix, in one sentence."""


def check_python() -> None:
    """SetupError where this Python is too old or lacks the modules that make an environment."""
    if sys.version_info < (3, 11):  # noqa: UP036  (the one file that an older Python may run)
        found = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"Python 3.11 or newer is needed, {sys.executable} is {found}: install one, "
            "or name it with `make PYTHON=/path/to/python3.12`"
        )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"{sys.executable} has no module {missing[0]}: install it (Debian, Ubuntu: "
            f"apt install python{version}-venv), then run `make` again"
        )


def check_space() -> None:
    """SetupError if the disk has no room for a new environment."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB:
        raise SetupError(
            f"{free:.1f} GB are free on the disk of {ROOT}, the environment needs about {NEEDED_GB:.0f}: "
            "free some, then run `make` again"
        )


def call(command: list[str], what: str) -> None:
    """Run a step of the set-up; SetupError explains its failure."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)  # fmt: skip
    if done.returncode:
        raise SetupError(explain(done.stdout, what))


def explain(output: str, what: str) -> str:
    """One sentence about a failed step from what it printed."""
    if "No space left" in output or "os error 28" in output:
        return f"no space left on the disk while {what}: free some (8 GB in all), then run `make` again"
    if re.search(_NETWORK, output):
        return (
            f"no package index could be reached while {what}: connect to the network, or name a mirror with "
            "PIP_INDEX_URL and UV_DEFAULT_INDEX, then run `make` again"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return f"{what} failed: " + " / ".join(lines[-3:] or ["it said nothing"])


def locked(name: str) -> str:
    """The lines of requirements.lock for one package, with its hashes."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    match = re.search(rf"^{re.escape(name)}==.*?(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if match is None:
        raise SetupError(f"requirements.lock does not pin {name}; take the file from the repository again")
    return match[0]


def main() -> int:
    """Set up; returns the exit status."""
    venv = ROOT / ".venv"
    python, uv = venv / "bin" / "python", venv / "bin" / "uv"
    try:
        check_python()
        # a half-made environment is completed, one whose Python is gone is made again
        works = (
            python.exists()
            and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
        )
        if not works:
            check_space()
            print("setting up .venv (about 6 GB, once; minutes on a slow line)", flush=True)
            call([sys.executable, "-m", "venv", "--clear", str(venv)], "making .venv")
        if not uv.exists():
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
                pins.write(locked("uv"))
                pins.flush()
                call(
                    [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", pins.name],
                    "installing uv",
                )
        # compiled now, by all cores, and not by the first process that imports them, or by every one where
        # Python is told to write no bytecode
        command = [
            str(uv), "pip", "sync", "--python", str(python), "--require-hashes", "--compile-bytecode",
            "requirements.lock",
        ]  # fmt: skip
        # uv shows its own progress on a terminal
        if sys.stderr.isatty():
            done = subprocess.run(command, cwd=ROOT, check=False)
            if done.returncode:
                call(command, "installing the packages")
        else:
            call(command, "installing the packages")
        editable = [
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--no-deps",
            "--no-build-isolation",
        ]
        call([*editable, "-e", "."], "installing tff_core")
        (venv / ".synced").write_text("")
    except SetupError as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"make: {explain(str(error), 'setting up .venv')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the next `make` continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
