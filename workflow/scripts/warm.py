"""Run a step in a process that has its libraries loaded already.

Loading torch and its neighbours takes longer than most steps do. So a build keeps one process that has
loaded them (`warm.py serve`), and every step is a fork of it (`warm.py script.py ...` or `warm.py -m module
...`): same arguments, same environment, same output, same exit status. Where there is no such process, Python
runs the step as usual. None of the project's own modules are loaded ahead, so a step always runs the code
that is there.

The step ends when the process waiting for it ends, and the loaded process ends with its build.

A step that computes with a network gets a GPU to itself, one of those that `TFF_GPUS` lists: it sees no other
(`CUDA_VISIBLE_DEVICES`), and no other step of the build sees this one until it has ended. Where `TFF_GPUS`
lists none, nothing is set: there is no GPU, or a cluster has chosen one already.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from pathlib import Path

VARIABLE = "TFF_WARM"  # names the socket on which the loaded process listens
GPUS = "TFF_GPUS"  # names the GPUs of the build, as CUDA does, with commas between
# the Snakefile's rules with `gpu=GPU`
ON_GPU = (
    "tff_core.detectors.training", "adopt.py", "rank.py", "scores.py", "train_patches.py",
    "train_sources.py", "add_source.py", "law.py", "parity.py", "variants.py", "adaptive.py",
    "robustness.py", "faithful.py", "depend.py", "shuffled.py", "known.py", "execute.py",
)  # fmt: skip
# of plotly, which loads its parts when they are asked for, what every figure asks for
_LIBRARIES = (
    "captum.attr", "efficientnet_pytorch", "IPython.core.completerlib", "ipykernel.kernelapp", "jupytext",
    "pandas", "papermill", "plotly.graph_objs._figure", "plotly.io._renderers", "safetensors.torch",
    "scipy.stats", "sklearn.metrics", "torch", "torchvision.models", "torchvision.transforms.v2", "tqdm.auto",
)  # fmt: skip


def take_gpu() -> list[int]:
    """Have this process and the step see one GPU that no other step has; waits until one is free.

    Returns the open file that represents it, if any. Its lock is the kernel's: the GPU is free when every
    process that has the file open has ended, in whatever way.
    """
    names = [name.strip() for name in os.environ.get(GPUS, "").split(",") if name.strip()]
    if not names:
        return []
    folder = Path(os.environ.get("TFF_BUILD", ".")) / ".gpus"
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for name in names:
            slot = os.open(folder / name.replace("/", "_"), os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(slot)
                continue
            os.set_inheritable(slot, True)  # the step that Python runs in this process's place keeps it
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            return [slot]
        time.sleep(0.2)


def submit(arguments: list[str]) -> int:
    """Have a step run by the loaded process; does not return where Python has to run it as usual."""
    step = Path(arguments[1] if arguments[0] == "-m" else arguments[0]).name
    held = take_gpu() if step in ON_GPU else []
    address = os.environ.get(VARIABLE)
    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.connect(address or "")
    except OSError:
        os.execv(sys.executable, [sys.executable, *arguments])
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    socket.send_fds(channel, [b"!"], [0, 1, 2, *held])
    channel.sendall(json.dumps(request).encode() + b"\n")
    try:
        answer = channel.recv(1)
    except ConnectionError:
        answer = b""
    return answer[0] if answer else 1  # no answer: it was killed


def serve() -> None:
    """Load the libraries, then fork for every request until standard input is closed."""
    import gc
    import importlib
    import select
    import signal

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ[VARIABLE])
    listener.listen(64)  # steps that come early wait
    gc.disable()  # the search for garbage takes a fifth of the time, and what is loaded stays
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):  # the step that needs it will say so
            importlib.import_module(name)
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000)  # a step leaves little garbage in circles; the search took a tenth of its time
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to reap the forks
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        channel, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(channel)
        channel.close()


def _run(channel: socket.socket) -> None:
    """Be the step: take over its files, folder, environment and arguments, run it, and tell its status."""
    import runpy
    import threading
    import traceback

    _, files, _, _ = socket.recv_fds(channel, 1, 4)
    for number, file in enumerate(files[:3]):  # a fourth holds the step's GPU until the step has ended
        os.dup2(file, number)
        os.close(file)
    request = json.loads(channel.makefile("rb").readline())
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])

    def watch() -> None:
        channel.recv(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    status = 0
    try:
        first, *rest = request["arguments"]
        if first == "-m":
            sys.path.insert(0, "")
            sys.argv = [rest[0], *rest[1:]]
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(first).resolve().parent))
            sys.argv = [first, *rest]
            runpy.run_path(first, run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except Exception as error:  # before the step could take care of that itself: a library is not there
        status = 1
        try:
            from tff_core.store import failures

            print(f"error: {failures.sentence(error, f'starting {first}')}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(OSError):
        channel.sendall(bytes([status & 0xFF]))
    os._exit(status)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        sys.exit(submit(sys.argv[1:]))
