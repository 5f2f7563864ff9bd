"""Build the book: run the workflow and show its progress.

One build runs at a time in a build folder. The lock is the kernel's and ends with the process, so a killed
build leaves nothing to unlock; finished files are complete, and the next run makes the missing ones.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

import grid
from tff_core.store import failures, names

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
NEEDED_GB = 2.0
ORPHANS_END = 60.0  # seconds that the steps of a killed build may take to end
LOCAL = "local"  # the profile of one machine
# the search for garbage took a seventh of its time
SNAKEMAKE = "import gc; gc.set_threshold(20_000); from snakemake.cli import main; main()"
CANCELLED = 30.0  # seconds that Snakemake may take to cancel its jobs on a cluster
_SOURCES = ("_*.yml", "book/**/*", "notebooks/*.py", "tff_core/**/*", "workflow/**/*", "requirements.lock")
_RESULTS = (
    "data/*/*/*/manifest.json",
    "detectors/*",
    "patches/*",
    "attribution/*",
    "localized/*/*/manifest.json",
    "results/**/*",
    "executed/**/*",
    "html/.complete",
    "html/index.html",
)


class BuildError(Exception):
    """Something that the user can fix, in one sentence."""


def load_config(name: str, everything: bool) -> dict[str, Any]:
    """The grid's configuration: config.yaml, overridden by config.<name>.yaml and then config.local.yaml.

    The local file is the user's own and ignored by git; `tff add` writes it. Settings that are mappings are
    merged, and an entry that is null is removed; others are replaced.
    """
    folder = ROOT / "workflow"
    config = read_yaml(folder / "config.yaml")
    above = []
    if name:
        above.append(folder / f"config.{name}.yaml")
        if not above[0].is_file():
            known = sorted(p.name.split(".")[1] for p in folder.glob("config.*.yaml"))
            raise BuildError(
                f"CONFIG={name}: {above[0]} does not exist; choose one of {', '.join(known)} or write it"
            )
    local = folder / "config.local.yaml"
    for path in [*above, *([local] if local.is_file() and local not in above else [])]:
        own = read_yaml(path)
        unknown = sorted(set(own) - set(config))
        if unknown:
            raise BuildError(f"{path}: unknown setting {unknown[0]!r}; expected one of {', '.join(config)}")
        for key, value in own.items():
            if isinstance(config[key], dict) and not isinstance(value, dict):
                raise BuildError(f"{path}: {key} is {value!r}; expected settings, one `name: value` a line")
            if isinstance(config[key], dict):
                value = {name: one for name, one in {**config[key], **value}.items() if one is not None}
            if key == "external":  # nor is a removed one anybody's twin
                gone = set(config[key]) - set(value)
                config["robust"] = {name: twin for name, twin in config["robust"].items() if twin not in gone}
            config[key] = value
    if everything:
        config["detectors"], config["left_to_all"] = config["all_detectors"], []
        config["patch_networks"] = config["all_patch_networks"]
        config["source_networks"] = config["all_source_networks"]
        config["experiments"] = config["all_experiments"]
        config["known_cases"], config["known_seeds"] = config["all_known_cases"], config["all_known_seeds"]
        config["spliced"] = config["all_spliced"]
        config["robustness"] = config["all_robustness"]
        config["faithful"] = {**config["faithful"], **config["all_faithful"]}
        config["depend"] = {**config["depend"], **config["all_depend"]}
        config["shuffled_seeds"] = config["all_shuffled_seeds"]
        config["atlas_cards"] = config["all_atlas_cards"]
    if config["added"] is None:  # `added:` with its entries removed
        config["added"] = []
    if not isinstance(config["added"], list):
        raise BuildError(f"workflow configuration: added is {config['added']!r}; expected a list of names")
    chapters = {"left_to_all": config["left_to_all"]}
    chapters |= {f"chapters_of {name!r}": some for name, some in config["chapters_of"].items()}
    for key, some in chapters.items():
        if not isinstance(some, list) or not all((NOTEBOOKS / f"{name}.py").is_file() for name in some):
            raise BuildError(
                f"workflow configuration: {key} is {some!r}; expected a list of chapters, named like the "
                "files of notebooks/ without .py"
            )
    for key in ("detectors", "generators", "seeds"):
        if not isinstance(config[key], list) or not config[key]:
            raise BuildError(f"workflow configuration: {key} is {config[key]!r}; expected a list, not empty")
    check_names(config)
    check_external(config)
    check_sources(config)
    return config


def check_names(config: dict[str, Any]) -> None:
    """BuildError where a name would not survive unchanged in files, tables and pages."""
    generators = [*config["generators"], *config["added"]]
    detectors = [*config["detectors"], *config["external"], *config["robust"].values()]
    try:
        names.check_all(generators, "generator")
        names.check_all(config["sources"], "generator of `sources`")
        names.check_all(dict.fromkeys(detectors), "detector")
    except ValueError as error:
        raise BuildError(f"workflow configuration: {error}") from error


def on_disk(path: object) -> str:
    """A path from the configuration: below the project unless absolute, with `$TFF_ASSETS` expanded."""
    assets = os.environ.get("TFF_ASSETS") or str(ROOT / "assets")
    found = Path(str(path).replace("$TFF_ASSETS", assets)).expanduser()
    return str(ROOT / found)


def check_external(config: dict[str, Any]) -> None:
    """Place detectors that were trained elsewhere; BuildError where weights are missing.

    Those that the configuration does not place (as `tff add` writes them) get the last chapters.
    """
    placed = {*config["detectors"], *config["all_detectors"], *config["robust"].values()}
    for name, entry in config["external"].items():
        if not isinstance(entry, dict) or "weights" not in entry:
            raise BuildError(
                f"workflow configuration: the external detector {name!r} is {entry!r}; expected settings, "
                "weights: FILE and arch: NETWORK"
            )
        entry["weights"] = on_disk(entry["weights"])
        used = name not in placed or name in config["detectors"]
        used |= any(config["robust"].get(other) == name for other in config["detectors"])
        if used and not Path(entry["weights"]).is_file():
            raise BuildError(
                f"the weights of {name!r} are not there: {entry['weights']} is no file; put them there, "
                f"correct the path under `external`, or take it out in workflow/config.local.yaml (external: "
                f"{{{name}: null}}); the book's page on assets says who has published weights"
            )
        if name not in placed:
            config["detectors"] = [*config["detectors"], name]


def check_sources(config: dict[str, Any]) -> None:
    """BuildError where a generator has no pictures, or a folder of pictures is not there."""
    if config["dataset"] != "miniature":
        for name in config["generators"]:
            parts = ("test", "val") if name == "progan" else ("test",)
            for part in parts:
                if part not in (config["sources"].get(name) or {}):
                    raise BuildError(
                        f"workflow configuration: {config['dataset']} has no {part} pictures of {name!r}; "
                        f"expected sources: {{{name}: {{{part}: /path/to/its/folder}}}}"
                    )
    for name in config["added"]:
        if "test" not in (config["sources"].get(name) or {}):
            raise BuildError(
                f"workflow configuration: the added generator {name!r} has no pictures; expected "
                f"sources: {{{name}: {{test: /path/to/its/folder}}}}"
            )
    for name, parts in config["sources"].items():
        for part, folder in (parts or {}).items():
            if part not in ("train", "val", "test"):
                raise BuildError(f"sources of {name!r}: unknown part {part!r}; expected train, val or test")
            folder = parts[part] = on_disk(folder)
            if not Path(folder).expanduser().is_dir():
                raise BuildError(
                    f"the {part} pictures of {name!r} are not there: {folder} is no folder; correct the path "
                    "under `sources`, or take the generator out; the book's page on assets says who has which"
                )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, empty of a file with nothing but comments; BuildError names what else it holds."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BuildError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict | None):
        raise BuildError(f"{path} holds {type(value).__name__}; expected settings, one `name: value` a line")
    return value or {}


def lock(folder: Path) -> IO[str]:
    """Lock the build folder for this process; BuildError where another running build holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a+")
    except OSError as error:
        raise BuildError(
            f"{folder} cannot be written ({error.strerror}); choose another folder with TFF_BUILD"
        ) from error
    limit = time.monotonic() + ORPHANS_END
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip()
            # the steps of a killed build keep its lock until they notice, which takes seconds
            if alive(holder) or time.monotonic() > limit:
                raise BuildError(
                    f"another build (process {holder or 'unknown'}) is at work in {folder}: "
                    "wait until it has ended, or stop it, then run again"
                ) from error
            time.sleep(0.2)
    write_pid(handle, os.getpid())
    return handle


def alive(process: str) -> bool:
    """Whether the process with this number is running; what is not a number, or has ended, is not."""
    try:
        return psutil.Process(int(process)).status() != psutil.STATUS_ZOMBIE
    except (ValueError, psutil.NoSuchProcess):
        return False


def write_pid(handle: IO[str], pid: int) -> None:
    """Tell later builds which process has the folder."""
    handle.truncate(0)
    handle.write(str(pid))
    handle.flush()


def stop(process: subprocess.Popen[str], cancel: bool = False) -> None:
    """End the workflow and its jobs now; by itself it would wait until the running jobs are done.

    With ``cancel`` it first gets time to cancel the jobs that run elsewhere.
    """
    if cancel:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGINT)
            process.wait(CANCELLED)
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def vectors(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Limit torch's own kernels to vector instructions that nearly every CPU has, so that all round alike."""
    with contextlib.suppress(OSError):
        if re.search(r"^flags\b.*\bavx2\b", cpuinfo.read_text(), re.MULTILINE):
            return {"ATEN_CPU_CAPABILITY": "avx2"}
    return {}


def environment(folder: Path, threads: int) -> dict[str, str]:
    """Environment of the jobs: few threads each, since several jobs run at a time.

    Threads that wait for each other do so asleep: awake they would take the cores from the other jobs, and a
    step of two threads costs three times as much on a busy machine.
    """
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        **count,
        **vectors(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "TFF_BUILD": str(folder),
        "PLOTLY_RENDERER": "plotly_mimetype",
        "IPYTHONDIR": str(folder / ".ipython"),  # nobody needs the history of one-off kernels
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def sources(config: dict[str, Any]) -> str:
    """A fingerprint of what a build is made from.

    The configuration and the project's own files count by content, pictures and weights stored elsewhere by
    size and time.
    """
    total = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for path in sorted(path for name in _SOURCES for path in ROOT.glob(name) if path.is_file()):
        if "__pycache__" not in path.parts:
            total.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    for parts in config["sources"].values():
        for folder in (parts or {}).values():
            total.update(grid.listing(folder).encode())
    for entry in config["external"].values():
        path = Path(entry["weights"])
        facts = path.stat() if path.is_file() else None  # of a detector that is not used
        total.update(f"{path} {facts and (facts.st_size, facts.st_mtime_ns)}\n".encode())
    return total.hexdigest()


def state(folder: Path, made_from: str) -> str:
    """A fingerprint of what a build is made from (see `sources`) and of the files in its folder.

    Equal to that of the last finished build, it says that nothing has to be done: as sure as the workflow's
    own check, which looks at the same files, and faster. Results count by size and time.
    """
    total = hashlib.sha256(made_from.encode())
    for path in sorted(path for name in _RESULTS for path in folder.glob(name) if path.is_file()):
        facts = path.stat()
        total.update(f"{path.relative_to(folder)} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return total.hexdigest()


@contextlib.contextmanager
def warm(folder: Path, variables: dict[str, str], idle: bool = False) -> Iterator[dict[str, str]]:
    """Keep a process with the steps' libraries loaded (see warm.py); yields the environment that names it.

    Only where forking it is safe: elsewhere the steps load their libraries themselves. With ``idle`` no step
    is going to run.
    """
    if sys.platform != "linux" or idle:
        yield variables
        return
    script = str(ROOT / "workflow" / "scripts" / "warm.py")
    kernel = {
        "argv": [sys.executable, "-I", "-S", script, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    kernels = folder / ".jupyter" / "kernels" / "warm"
    kernels.mkdir(parents=True, exist_ok=True)
    (kernels / "kernel.json").write_text(json.dumps(kernel))
    # a socket's path must be short, and private
    with tempfile.TemporaryDirectory(prefix="tff-") as private:
        variables = {
            **variables, "TFF_WARM": str(Path(private) / "socket"),
            "TFF_KERNEL": "warm", "JUPYTER_PATH": str(folder / ".jupyter"),
        }  # fmt: skip
        # it ends when its input does, that is when this process ends, in whatever way
        with (
            (folder / "logs" / "warm.log").open("w") as log,
            subprocess.Popen(
                [sys.executable, script, "serve"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=variables,
            ),
        ):
            yield variables


def gpus() -> list[str]:
    """Names of the GPUs to compute on; none where there is no driver.

    They are those of CUDA_VISIBLE_DEVICES where it is set, else all that the driver lists.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE) if listed.returncode == 0 else []


@dataclass
class Progress:
    """What Snakemake has said so far, as a bar and a sentence."""

    expected: dict[str, float]
    cores: int
    folder: Path
    begin: float = field(default_factory=time.monotonic)
    total: float = 0.0
    done: float = 0.0
    measured: float = 0.0
    steps: int = 0
    finished: int = 0
    running: dict[str, tuple[str, str, str, float]] = field(default_factory=dict)  # rule, message, log, start
    failed: list[str] = field(default_factory=list)
    _rule: str = ""

    def feed(self, line: str) -> str | None:
        """Take one line of Snakemake's report; returns a line worth keeping on the screen, if any."""
        stats = re.fullmatch(r"(\w+)\s+(\d+)\s*", line)
        if stats and stats[1] in self.expected:
            self.total += self.expected[stats[1]] * int(stats[2])
            self.steps += int(stats[2])
        started = re.match(r"\s*Job (\d+): (.*?)(?: \[(.*)\])?$", line)  # indented where it is one of a group
        if started:
            log = started[3] or ""
            rule = re.sub(r"[/.].*$", "", log.removeprefix("logs/"))  # a rule's logs bear its name
            self.running[started[1]] = (rule, started[2], log, time.monotonic())
        ended = re.match(r"Finished jobid: (\d+) \(Rule: (\w+)\)", line)
        if ended and ended[1] in self.running:
            _, message, _, start = self.running.pop(ended[1])
            seconds = time.monotonic() - start
            self.done += self.expected.get(ended[2], 0.0)
            self.measured += seconds
            self.finished += 1
            kept = f"{self.share():4.0%}  {message} ({clock(seconds)})"
            if ended[2] == "preview":
                kept += f"\n      read it while the rest is computed: {address(self.folder)}"
            return kept
        return None

    def share(self) -> float:
        """Fraction of the expected work done, 0 to 1; running jobs count for the time they have run."""
        part = self.done + sum(
            min(time.monotonic() - start, 0.9 * self.expected.get(rule, 0.0))
            for rule, _, _, start in self.running.values()
        )
        return min(part / self.total, 0.99) if self.total and self.steps > self.finished else 1.0

    def left(self) -> float | None:
        """Estimated seconds left, from the jobs measured so far; None before the first has finished."""
        if not self.done or not self.total:
            return None
        pace = self.measured / self.done
        return max(self.total * (1 - self.share()), 0.0) * pace / self.cores

    def line(self, width: int) -> str:
        """The bar, the time, and what the running jobs say about themselves."""
        bar = "#" * round(20 * self.share())
        left = self.left()
        remaining = f", about {clock(left)} left" if left else ""
        jobs = "; ".join(
            f"{message}{last_words(self.folder / log)}" for _, message, log, _ in self.running.values()
        )
        text = f"[{bar:<20}] {self.share():4.0%}  {clock(time.monotonic() - self.begin)}{remaining} | {jobs}"
        return text[: width - 1]


def last_words(log: Path) -> str:
    """The last line of a job's log, such as "step 120/600, 1:10 left"; empty where there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(stream.tell() - 400, 0))
            tail = stream.read().decode(errors="replace")
    except OSError:
        return ""
    words = [part.strip() for part in re.split(r"[\r\n]+", tail)]
    # what a kernel logs about itself does not say how far the notebook is
    words = [part for part in words if part and not re.match(r"--|NOTE|To connect|.*WARNING|.*process", part)]
    return f": {words[-1][:60]}" if words else ""


def clock(seconds: float) -> str:
    """Minutes and seconds, as 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def address(folder: Path) -> str:
    """Address of the book for a browser."""
    return (folder / "html" / "index.html").as_uri()


def command(config: Path, options: argparse.Namespace, targets: list[str], folder: Path) -> list[str]:
    """The call of Snakemake."""
    devices = gpus() if options.profile == LOCAL else []  # a cluster counts and hands out its own
    return [
        sys.executable, "-c", SNAKEMAKE, *targets,
        "--snakefile", str(ROOT / "workflow" / "Snakefile"),
        "--directory", str(folder),
        "--configfile", str(config),
        "--cores" if options.profile == LOCAL else "--jobs", str(options.jobs),
        "--profile", str(ROOT / "workflow" / "profiles" / options.profile),
        *(["--resources", f"gpu={len(devices)}"] if devices else []),
        *options.snakemake,
    ]  # fmt: skip


def show(process: subprocess.Popen[str], progress: Progress, log: IO[str]) -> None:
    """Follow Snakemake until it ends: a moving line on a terminal, a line for each finished job elsewhere."""
    terminal = sys.stdout.isatty()
    ended = threading.Event()
    spoken = threading.Lock()

    def tick() -> None:
        width = shutil.get_terminal_size().columns
        while not ended.wait(1.0 if terminal else 60.0):
            with spoken:
                if terminal:
                    print(f"\r\x1b[2K{progress.line(width)}", end="", flush=True)
                elif progress.running:
                    print(progress.line(200), flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    assert process.stdout is not None
    for line in process.stdout:
        log.write(line)
        log.flush()
        with spoken:
            kept = progress.feed(line.rstrip("\n"))
            if kept:
                print(("\r\x1b[2K" if terminal else "") + kept, flush=True)
    ended.set()
    ticker.join()
    if terminal:
        print("\r\x1b[2K", end="", flush=True)


def failure(folder: Path, text: str) -> str:
    """What went wrong, from Snakemake's report: the failing steps, their last words, and where to read on."""
    named = re.findall(r"^ *log: (.*?)(?: \(check|$)", text.split("Error in ", 1)[-1], re.MULTILINE)
    logs = list(dict.fromkeys(name for names in named for name in names.split(", ")))
    # a cluster's own log comes with the step's; one of them can be empty
    logs = [name for name in logs if (folder / name).is_file() and (folder / name).stat().st_size] or logs
    if "Error in rule" not in text or not logs:
        told = [line.strip() for line in text.splitlines() if line.strip()][-6:]
        return "the workflow stopped:\n  " + "\n  ".join(told)
    parts = []
    for name in logs[:3]:
        path = folder / name
        lines = path.read_text(errors="replace").strip().splitlines() if path.is_file() else []
        tail = "\n  ".join(line[:300] for line in lines[-8:])
        parts.append(f"a step failed; its last words:\n  {tail}\nthe whole report: {path}")
    return "\n".join(parts)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="", help="lay workflow/config.<name>.yaml over the default")
    parser.add_argument("--all", action="store_true", help="every detector, not the first alone")
    parser.add_argument(
        "--page", nargs="+", default=[], metavar="NAME", help="these pages and what they read, and no site"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="jobs at a time")
    known = sorted(path.parent.name for path in ROOT.glob("workflow/profiles/*/config*.yaml"))
    where = "where jobs run, a folder of workflow/profiles: on this machine, or as jobs of a cluster"
    parser.add_argument("--profile", default=LOCAL, choices=known, help=where)
    parser.add_argument("snakemake", nargs="*", help="more options for Snakemake, after --")
    options = parser.parse_args()
    folder = Path(os.environ.get("TFF_BUILD") or ROOT / "build").resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as with Ctrl-C, jobs included
    # a shell lets what it starts in the background ignore Ctrl-C, and the workflow would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(options, folder)
    except OSError as error:
        told = f"{error.filename or folder}: {error.strerror}"
        print(f"make: {told}; set this right, then run again", file=sys.stderr)
        return 1
    except BuildError as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get(failures.DEBUG):
            raise
        print(f"make: {failures.sentence(error, f'building in {folder}')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, and the next `make` continues", file=sys.stderr)
        return 130


def run(options: argparse.Namespace, folder: Path) -> int:
    """Build; returns the exit status."""
    begin = time.monotonic()
    if options.jobs < 1:
        raise BuildError(f"JOBS={options.jobs}; expected 1 or more")
    config = load_config(options.config, options.all)
    known = grid.pages(config, ROOT) if options.page else {}
    for page in options.page:
        if page not in known:
            raise BuildError(f"--page {page}: the book has no such page; expected one of {', '.join(known)}")
    handle = lock(folder)
    free = shutil.disk_usage(folder).free / 1e9
    complete = folder / "html" / ".complete"
    if free < NEEDED_GB and not complete.is_file():
        raise BuildError(
            f"{free:.1f} GB are free on the disk of {folder}, the book needs about {NEEDED_GB:.0f}: "
            "free some, or choose another disk with TFF_BUILD=/path"
        )
    resolved = folder / "config.json"
    text = json.dumps(config, indent=1, sort_keys=True)
    if not resolved.is_file() or resolved.read_text() != text:
        resolved.write_text(text)
    stamp, made_from = folder / ".state", sources(config)
    partial = bool(options.snakemake or options.page)
    if (
        not partial
        and complete.is_file()
        and stamp.is_file()
        and stamp.read_text() == state(folder, made_from)
    ):
        print(f"nothing has changed since the last build\nthe book: {address(folder)}")
        return 0
    # the preview is for the first build; later the previous book stays while the new one is made
    targets = ["html/.complete"] if (folder / "html").is_dir() else ["html/.preview", "html/.complete"]
    if options.page:
        targets = [f"executed/{page}.ipynb" for page in options.page]
    from_nothing = not (folder / ".snakemake" / "metadata").is_dir()
    (folder / "logs").mkdir(exist_ok=True)
    report = folder / "logs" / "snakemake.log"
    progress = Progress(config["expected_seconds"], options.jobs, folder)
    variables = environment(folder, config["threads"])
    if options.profile == LOCAL:
        variables["TFF_GPUS"] = "" if config["device"] in ("cpu", "mps") else ",".join(gpus())
    idle = bool({"-n", "--dry-run", "--dryrun"} & set(options.snakemake))
    cold = idle or options.profile != LOCAL  # on a cluster, steps run far from this process
    with report.open("w") as log, warm(folder, variables, cold) as variables:
        process = subprocess.Popen(
            command(resolved, options, targets, folder),
            cwd=folder, env=variables, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[handle.fileno()],
            # Ctrl-C reaches the canceller of a cluster's jobs once, by way of `stop`
            process_group=None if options.profile == LOCAL else 0,
        )  # fmt: skip
        write_pid(handle, process.pid)  # stopping that process frees the folder
        try:
            show(process, progress, log)
            status = process.wait()
        except BaseException:
            stop(process, cancel=options.profile != LOCAL)
            raise
    if status:
        told = failure(folder, report.read_text(errors="replace"))
        free = shutil.disk_usage(folder).free / 1e6
        full = f"\nonly {free:.0f} MB are free on the disk of {folder}: free some, then run again"
        raise BuildError(told + (full if free < 100 else ""))
    if not partial:
        if progress.steps:  # for benchmarks/build.py
            seconds = round(time.monotonic() - begin, 1)
            took = {"seconds": seconds, "cores": options.jobs, "steps": progress.steps, "whole": from_nothing}
            (folder / "logs" / "clock.json").write_text(json.dumps(took))
        stamp.write_text(state(folder, made_from))  # of the sources as they were when it began
    if idle:
        print(f"nothing was run; what would be, and why: {report}")
        return 0
    if options.page:
        what = folder / targets[0] if len(targets) == 1 else f"{len(targets)} pages in {folder}"
        print(f"executed in {clock(time.monotonic() - begin)}: {what}")
        return 0
    if progress.steps == 0 and not options.snakemake:
        print("nothing has changed since the last build")
    else:
        print(f"built in {clock(time.monotonic() - begin)}; result tables: {folder / 'results' / 'tables'}")
    print(f"the book: {address(folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
