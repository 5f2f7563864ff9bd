"""How a command or a step ends when something fails: one sentence, an exit code, and a trace in a file.

The package's own refusals already come with a sentence. For anything else, whatever its type, the sentence
says what was being done and where the trace is; ``TFF_DEBUG=1`` shows the trace instead.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

DEBUG = "TFF_DEBUG"
FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130
_WRONG = (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError)
_PROJECT = Path(__file__).resolve().parents[2]
_OURS = (_PROJECT / "tff_core", _PROJECT / "workflow" / "scripts")


def printable(text: object) -> str:
    """Text for people: bytes that are not text, and terminal control characters, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in utf8(str(text)))


def utf8(text: str) -> str:
    """Text that UTF-8 can hold: bytes of a file name that are not text are escaped, as ``\\xff``."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


def lenient_output() -> None:
    """Have characters missing from the terminal's encoding escaped, so that no answer is lost to them."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # replaced by something else, or closed
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def guarded(run: Callable[[], int | None], doing: str, wrong: int = WRONG_INPUT, debug: bool = False) -> int:
    """Run something to its end; returns the exit code: its result, 0 for None, else 1, ``wrong`` or 130.

    ``doing`` follows "while" in the sentence on an unexpected error. ``wrong`` is the code for wrong input.
    SystemExit passes, and with ``debug``, or ``TFF_DEBUG`` set, every error does.
    """
    lenient_output()
    try:
        return _flushed(run)
    except KeyboardInterrupt:
        say("stopped")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has seen enough
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug or os.environ.get(DEBUG):
            raise
        say(f"error: {sentence(error, doing)}")
        return wrong if isinstance(error, _WRONG) else FAILED


def _flushed(run: Callable[[], int | None]) -> int:
    """Run, and flush what it has printed: a closed pipe must be met here, not when Python exits."""
    try:
        status = run() or 0
    except SystemExit:
        if sys.stdout is not None:
            sys.stdout.flush()
        raise
    if sys.stdout is not None:
        sys.stdout.flush()
    return status


def say(text: str) -> None:
    """Print to standard error; does nothing if it is closed."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def sentence(error: BaseException, doing: str) -> str:
    """What went wrong on one line, with the location of the trace if the error is unexpected."""
    message = printable(error)
    if message and _is_foreseen(error):
        return message
    at = _at_work_on(error.__traceback__)
    what = f"{type(error).__name__}: {message[:500]}" if message else type(error).__name__
    if isinstance(error, MemoryError):
        what = "the machine's memory is used up" + (f" ({message[:300]})" if message else "")
    if isinstance(error, RecursionError):
        what = f"something is nested too deeply ({message[:200]})"
    if isinstance(error, ImportError):
        what += "; a package may be missing, which `make env` sets right"
    told = f"{what}, while {doing}" + (f", at work on {printable(at)}" if at is not None else "")
    return f"{told}; an unexpected error: {_kept(error)}"


def _is_foreseen(error: BaseException) -> bool:
    """Whether the message is the project's own sentence, or one from the system about a file."""
    if isinstance(error, OSError) and error.filename is not None:
        return True
    if not isinstance(error, (OSError, ValueError, RuntimeError, ArithmeticError, MemoryError, ImportError)):
        return False
    if isinstance(error, RecursionError):
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and _is_ours(frames[-1][0].f_code.co_filename)


def _is_ours(file: str) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in _OURS)


def _at_work_on(trace: TracebackType | None) -> Any:
    """The file that the project's innermost function was about, if it had one."""
    for frame, _ in reversed(list(traceback.walk_tb(trace))):
        if _is_ours(frame.f_code.co_filename):
            for name in ("path", "source", "folder", "file", "place"):
                value = frame.f_locals.get(name)
                if isinstance(value, Path):
                    return value
    return None


def _kept(error: BaseException) -> str:
    """Write the trace to a file, and say where."""
    text = "".join(traceback.format_exception(error))
    build = os.environ.get("TFF_BUILD")
    for folder in (*([Path(build) / "logs"] if build else []), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(prefix="tff-trace-", suffix=".log", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
            return f"the trace is in {printable(name)} ({DEBUG}=1 shows it)"
    return f"set {DEBUG}=1 to see the trace"
