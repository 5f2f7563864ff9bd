"""One machine to many: a step has a GPU to itself, and the same workflow runs on a cluster.

The cluster is a real one of a single node: munged, slurmctld and slurmd of the machine's own packages, with a
configuration of their own in a temporary folder, on free ports of this machine alone. Its two GPUs are none,
which SLURM hands out all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, command, copy_project, environment

from tff_core import detectors
from tff_core.pictures import data

SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))
import warm  # noqa: E402

import build  # noqa: E402

DETECTOR = "detectors/resnet18-scenes.s0.safetensors"  # the others wait for it
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
on_a_cluster = [
    pytest.mark.slow,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(MISSING), reason=f"SLURM is not installed: no {', '.join(MISSING)}"),
]


def _wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, f"{what}: not so after {seconds:.0f} s"
        time.sleep(0.05)


# ---- one machine, several GPUs


# what a step that computes with a network sees: it says so, then waits to be told to end
_STEP = """
import os, sys, time
name = sys.argv[1]
open(f"{name}.new", "w").write(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
os.rename(f"{name}.new", name)
while not os.path.exists(f"{name}.end"):
    time.sleep(0.02)
"""


def _start(folder: Path, variables: dict[str, str], name: str, script: str) -> subprocess.Popen[bytes]:
    (folder / script).write_text(_STEP)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", SCRIPTS / "warm.py", script, name], cwd=folder, env=variables
    )


def _at_work(folder: Path, names: list[str]) -> dict[str, str]:
    """Those of the steps that have started, and the GPU that each sees."""
    return {name: (folder / name).read_text() for name in names if (folder / name).exists()}


@pytest.fixture(scope="module", params=["warm", "cold"])
def two_gpus(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of steps on two GPUs, with and without a process that has their libraries loaded."""
    folder = tmp_path_factory.mktemp("gpus")
    (folder / "logs").mkdir()
    variables = {**build.environment(folder, 1), "TFF_GPUS": "0,1"}
    with build.warm(folder, variables, idle=request.param == "cold") as variables:
        if request.param == "warm":
            # a step that comes too early runs without it
            _wait_until(Path(variables["TFF_WARM"]).exists, 60, "the loaded process listens")
        yield variables


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """The steps that a test has started; those that still run when it ends are killed."""
    steps: list[subprocess.Popen[bytes]] = []
    yield steps
    for step in steps:
        step.kill()
        step.wait()


@pytest.mark.slow
def test_steps_at_once_never_share_a_gpu(
    tmp_path: Path, two_gpus: dict[str, str], started: list[subprocess.Popen[bytes]]
) -> None:
    names = ["a", "b", "c", "d"]
    started += [_start(tmp_path, two_gpus, name, "rank.py") for name in names]
    seen = set()
    while names:
        _wait_until(
            lambda: len(_at_work(tmp_path, names)) >= min(2, len(names)), 300, "both GPUs are at work"
        )
        time.sleep(0.5)  # a third that did not wait its turn would be there by now
        devices = _at_work(tmp_path, names)
        assert len(devices) == len(set(devices.values())) == min(2, len(names))
        seen |= set(devices.values())
        done = next(iter(devices))
        (tmp_path / f"{done}.end").touch()
        names.remove(done)
    assert seen == {"0", "1"}
    assert [step.wait(30) for step in started] == [0] * 4


@pytest.mark.slow
def test_a_killed_step_frees_its_gpu(
    tmp_path: Path, two_gpus: dict[str, str], started: list[subprocess.Popen[bytes]]
) -> None:
    variables = {**two_gpus, "TFF_GPUS": "GPU-8d2e"}  # by name, as CUDA can
    first = _start(tmp_path, variables, "first", "execute.py")
    started.append(first)
    _wait_until((tmp_path / "first").exists, 300, "the first step is at work")
    started.append(_start(tmp_path, variables, "second", "execute.py"))
    time.sleep(0.5)
    assert not (tmp_path / "second").exists()
    first.send_signal(signal.SIGKILL)
    _wait_until((tmp_path / "second").exists, 300, "the second step has the GPU of the killed one")
    assert (tmp_path / "second").read_text() == "GPU-8d2e"


@pytest.mark.parametrize(("devices", "script"), [("", "rank.py"), ("0,1", "evaluate.py")])
def test_nothing_is_set_without_a_gpu_or_for_a_step_that_needs_none(
    tmp_path: Path, devices: str, script: str
) -> None:
    variables = {**build.environment(tmp_path, 1), "TFF_GPUS": devices}
    variables.pop("CUDA_VISIBLE_DEVICES", None)
    (tmp_path / "x.end").touch()
    assert _start(tmp_path, variables, "x", script).wait(60) == 0
    assert (tmp_path / "x").read_text() == "none"


def test_the_steps_with_a_gpu_are_those_that_the_workflow_counts() -> None:
    text = (ROOT / "workflow" / "Snakefile").read_text()
    rules = re.split(r"^rule ", text, flags=re.MULTILINE)[1:]
    found = {
        match[1]
        for rule in rules
        if "gpu=" in rule and (match := re.search(r'"\{PY\} (?:-m |\{BIN\}/)(\S+)', rule))
    }
    assert found == set(warm.ON_GPU)


_DRIVER = """#!/bin/sh
echo "GPU 0: NVIDIA H200 (UUID: GPU-8d2e)"
echo "GPU 1: NVIDIA H200 (UUID: GPU-11aa)"
exit {status}
"""


@pytest.mark.parametrize(
    ("status", "chosen", "expected"),
    [(0, None, ["0", "1"]), (0, "1", ["1"]), (0, "", []), (9, None, []), (None, None, [])],
)
def test_the_gpus_of_a_machine_are_counted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    chosen: str | None,
    expected: list[str],
) -> None:
    if status is not None:
        driver = tmp_path / "nvidia-smi"
        driver.write_text(_DRIVER.format(status=status))
        driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if status is not None else str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert build.gpus() == expected


def test_the_workflow_starts_a_step_for_each_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    options = argparse.Namespace(profile="local", jobs=4, snakemake=[])
    here = build.command(tmp_path / "config.json", options, ["html/.complete"], tmp_path)
    options.profile = "slurm"  # counts its own
    there = build.command(tmp_path / "config.json", options, ["html/.complete"], tmp_path)
    assert here[here.index("--resources") + 1] == "gpu=3"
    assert here[here.index("--cores") + 1] == there[there.index("--jobs") + 1] == "4"
    assert "--resources" not in there


# ---- a cluster


def test_the_profile_names_rules_that_exist() -> None:
    profile = yaml.safe_load((ROOT / "workflow" / "profiles" / "slurm" / "config.yaml").read_text())
    rules = set(
        re.findall(
            r"^(?:use rule \w+ as|rule) (\w+)\b", (ROOT / "workflow" / "Snakefile").read_text(), re.MULTILINE
        )
    )
    assert set(profile["groups"]) <= rules
    assert set(profile["set-resources"]) <= rules
    assert set(profile["group-components"]) <= set(profile["groups"].values())


def test_what_the_cluster_says_of_a_failed_step_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "t.log").touch()  # the step never began
    (tmp_path / "7.log").write_text("srun: error: the node has gone\n")
    where = f"logs/t.log, {tmp_path}/7.log (check log file(s) for error details)"
    said = build.failure(
        tmp_path, f"Error in rule train:\n    message: SLURM-job '7' failed\n    log: {where}\n"
    )
    assert "the node has gone" in said
    assert f"report: {tmp_path / '7.log'}" in said


def test_the_steps_of_a_group_are_counted(tmp_path: Path) -> None:
    progress = build.Progress({"sample": 8.0}, 1, tmp_path)
    for line in (
        "sample 2",
        "    Job 2: pictures of a [logs/sample/a.log]",
        "Finished jobid: 2 (Rule: sample)",
    ):
        progress.feed(line)
    assert (progress.steps, progress.finished, progress.done) == (2, 1, 8.0)


_CONFIGURATION = """
ClusterName=tff
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=600
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=100000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# any devices that are there: nobody opens them
_GPUS = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


@dataclass(frozen=True)
class Cluster:
    """A cluster of one node, and the environment in which its commands find it."""

    variables: dict[str, str]

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job so far by number: what SLURM tells of it."""
        told = subprocess.run(
            ["scontrol", "--oneliner", "show", "jobs"], env=self.variables, capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip
        jobs = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in told.splitlines() if "JobId=" in line]
        return {job["JobId"]: job for job in jobs}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _states(variables: dict[str, str]) -> str:
    told = subprocess.run(
        ["sinfo", "-h", "-o", "%T"], env=variables, capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A running cluster; its processes end with the tests of this file."""
    host = socket.gethostname().split(".")[0]
    with (
        tempfile.TemporaryDirectory(prefix="tff-slurm-") as private,  # a socket's path must be short
        contextlib.ExitStack() as daemons,
    ):
        folder = Path(private)
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        configuration = folder / "slurm.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                host=host, controller=_free_port(), node=_free_port(), user=getpass.getuser(), folder=folder
            )
        )
        (folder / "gres.conf").write_text(_GPUS)
        # a job's steps forget the variable, since a real cluster's configuration lies where all look for it
        (folder / "bin").mkdir()
        srun = folder / "bin" / "srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun", path=PATH)} "$@"\n'
        )
        srun.chmod(0o755)
        path = f"{srun.parent}{os.pathsep}{PATH}"
        variables = {**environment(), "SLURM_CONF": str(configuration), "PATH": path}
        for name in [name for name in variables if name.startswith("SLURM_") and name != "SLURM_CONF"]:
            del variables[name]

        def daemon(*arguments: str) -> None:
            log = daemons.enter_context((folder / f"{arguments[0]}.log").open("w"))
            process = subprocess.Popen(arguments, env=variables, stdout=log, stderr=log)
            daemons.callback(process.wait, 30)
            daemons.callback(process.terminate)

        def logs() -> str:
            return "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in folder.glob("*.log"))

        paths = {
            "key-file": "key",
            "socket": "munge.socket",
            "pid-file": "munge.pid",
            "seed-file": "munge.seed",
        }
        daemon(
            "munged",
            "--foreground",
            "--force",
            *(f"--{name}={folder / file}" for name, file in paths.items()),
        )
        _wait_until((folder / "munge.socket").exists, 20, "munged listens")
        daemon("slurmctld", "-D", "-f", str(configuration))
        daemon("slurmd", "-D", "-N", host, "-f", str(configuration))
        try:
            _wait_until(lambda: _states(variables) == "idle", 40, "the node is idle")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{logs()}") from None
        yield Cluster(variables)
        subprocess.run(["scancel", "--user", getpass.getuser()], env=variables, check=False)
        with contextlib.suppress(AssertionError):
            _wait_until(lambda: _states(variables) == "idle", 20, "every job has ended")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, that no other test looks into; its detectors learn next to nothing."""
    root = tmp_path_factory.mktemp("cluster")
    copy_project(root)
    (root / "workflow" / "config.local.yaml").write_text(
        "pictures: {train: 16, val: 8, test: 8}\ntraining: {n: 16, n_val: 8, epochs: 1, batch_size: 8}\n"
    )
    return root


def _make(root: Path, *more: str) -> list[str]:
    """The call of a tiny build on the cluster, of the targets named alone."""
    quick = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
             "--latency-wait", "5"]  # fmt: skip
    start, rest = command(root, *quick, *more), "--"
    at = start.index(rest)
    return [*start[:at], "--profile", "slurm", *start[at:]]


@pytest.fixture(scope="module")
def built(cluster: Cluster, project: Path) -> subprocess.CompletedProcess[str]:
    """What the build said that sampled the pictures for a detector and trained it."""
    return subprocess.run(
        _make(project, "--until", DETECTOR), cwd=project, env=cluster.variables, capture_output=True,
        text=True, check=False, timeout=900,
    )  # fmt: skip


class TestOnACluster:
    pytestmark = on_a_cluster

    def test_steps_run_as_jobs_of_the_cluster(
        self, cluster: Cluster, project: Path, built: subprocess.CompletedProcess[str]
    ) -> None:
        assert built.returncode == 0, built.stdout + built.stderr
        pictures, training = cluster.jobs().values()
        assert pictures["JobState"] == training["JobState"] == "COMPLETED"
        report = (project / "build" / "logs" / "snakemake.log").read_text()
        assert f"submitted with SLURM jobid {training['JobId']}" in report

    def test_small_steps_share_a_job(
        self, cluster: Cluster, project: Path, built: subprocess.CompletedProcess[str]
    ) -> None:
        pictures, training = cluster.jobs().values()
        assert len(list((project / "build" / "data").glob("*/*/*/manifest.json"))) == 2
        assert (pictures["Comment"], pictures["NumCPUs"]) == ("rule_pictures_sample", "1")
        assert "train" in training["Comment"]

    def test_a_job_asks_for_what_its_steps_need(
        self, cluster: Cluster, built: subprocess.CompletedProcess[str]
    ) -> None:
        pictures, training = cluster.jobs().values()
        assert (pictures["MinMemoryNode"], pictures["TimeLimit"]) == ("2000M", "00:20:00")
        assert (training["MinMemoryNode"], training["TimeLimit"]) == ("8000M", "04:00:00")
        assert "TresPerJob" not in pictures
        assert training["TresPerJob"].endswith("gpu:1")

    def test_results_are_whole(self, project: Path, built: subprocess.CompletedProcess[str]) -> None:
        folder = project / "build"
        assert not {"test"} & {path.name for path in (folder / "data" / "miniature").iterdir()}
        for part, n in {"train": 16, "val": 8}.items():
            assert data.scan(folder / "data" / "miniature" / part / "progan").counts == (n, n)
        assert detectors.read_weights(folder / DETECTOR)
        assert json.loads((folder / DETECTOR).with_suffix(".json").read_text())

    def test_a_stopped_build_cancels_its_jobs(
        self, cluster: Cluster, project: Path, built: subprocess.CompletedProcess[str]
    ) -> None:
        before = set(cluster.jobs())
        running = subprocess.Popen(
            _make(project, "--until", "data/miniature/test/cyclegan/manifest.json"), cwd=project,
            env=cluster.variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        _wait_until(lambda: set(cluster.jobs()) - before, 300, "a job is submitted")
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=120)
        assert running.returncode == 130, said
        (job,) = set(cluster.jobs()) - before
        _wait_until(lambda: cluster.jobs()[job]["JobState"] == "CANCELLED", 300, "the job is cancelled")
