"""Continuous integration and publication: workflows that are valid, and run nothing that nobody has tried."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import restore

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# what the workflows run -> where it is tried
TRIED = {
    "bash .ci/run": "by every run of the tests that calls itself continuous",
    "make env": "by whoever runs these tests",
    "make release": "tests/workflow/test_release.py",
    "python3 workflow/scripts/restore.py": "tests/test_actions.py",
    '.venv/bin/python workflow/scripts/launch.py --ref "$GITHUB_REF_NAME"': "tests/book/test_launch.py",
}


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def commands() -> list[str]:
    text = [step["run"] for path in WORKFLOWS for step in steps(path) if "run" in step]
    return [line for lines in text for line in lines.splitlines() if line.strip()]


def test_the_workflows_are_valid() -> None:
    assert {path.stem for path in WORKFLOWS} == {"test", "publish", "links"}
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_has_nothing_to_say() -> None:
    # it is no Python package that installs without GitHub; the workflow `test` runs it in its container
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("no actionlint on this machine")
    done = subprocess.run([actionlint, "-no-color", *WORKFLOWS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_of_a_workflow_is_tried() -> None:
    assert set(commands()) == set(TRIED)
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands():
        words = shlex.split(line)
        if words[0] == "make":
            assert all(re.search(rf"^{target}:", make, re.MULTILINE) for target in words[1:])
        else:
            assert (ROOT / words[1]).is_file()
        assert "${{" not in line  # what is put into a command by GitHub is not quoted
    for place in filter(lambda one: one.startswith("tests/"), TRIED.values()):
        assert (ROOT / place).is_file()


def test_a_workflow_may_do_what_it_has_to_and_no_more() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())
        for step in steps(path):
            if "uses" in step:
                assert re.fullmatch(r"(docker://)?[\w./-]+[@:]v?\d[\w.]*", step["uses"])
    asked = {
        name: job.get("permissions") for name, job in jobs(ROOT / ".github/workflows/publish.yml").items()
    }
    assert asked == {"release": {"contents": "write"}, "deploy": {"pages": "write", "id-token": "write"}}


def test_the_cache_keeps_what_a_release_keeps() -> None:
    import release

    cached = [
        step["with"]
        for step in steps(ROOT / ".github/workflows/publish.yml")
        if "cache" in step.get("uses", "")
    ]
    assert len(cached) == 2
    for one in cached:
        assert one["path"].split() == [f"build/{name}" for name in release._KEPT]


def test_the_dev_container_is_the_machine_of_the_tests() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    recipe = (ROOT / ".devcontainer" / container["build"]["dockerfile"]).read_text(encoding="utf-8")
    image = jobs(ROOT / ".github/workflows/test.yml")["test"]["container"]
    assert re.search(r"^FROM (\S+)$", recipe, re.MULTILINE)[1] == image  # type: ignore[index]
    assert container["postCreateCommand"] in TRIED
    assert container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"].startswith(
        ".venv/"
    )


# ---- what a release has computed is taken from it


def archive(name: str = "build/detectors/d.s0.safetensors", content: bytes = b"weights") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = len(content), 1_000_000_000
        tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


class Server:
    """What GitHub answers about releases, from a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def publish(self, where: str, assets: dict[str, bytes]) -> None:
        listed = []
        for name, content in assets.items():
            path = self.folder / "files" / where / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            listed.append({"name": name, "url": f"{self.address}/files/{where}/{name}"})
        path = self.folder / "repos/o/r/releases" / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"tag_name": where.removeprefix("tags/"), "assets": listed}))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    folder = tmp_path / "github"
    folder.mkdir()
    found = Server(folder)
    monkeypatch.setenv("GITHUB_API_URL", found.address)
    monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
    monkeypatch.setenv("GITHUB_REF_NAME", "v2")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(sys, "argv", ["restore.py", "--root", str(tmp_path / "project")])
    (tmp_path / "project").mkdir()
    yield found
    found.http.shutdown()
    found.http.server_close()


def summed(content: bytes, name: str = "tff-1-build.tar.gz") -> dict[str, bytes]:
    return {name: content, "SHA256SUMS": f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()}


def test_the_release_of_the_tag_comes_first(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.publish("latest", summed(archive(content=b"old")))
    server.publish("tags/v2", summed(archive()))
    assert restore.main() == 0
    weights = tmp_path / "project/build/detectors/d.s0.safetensors"
    assert weights.read_bytes() == b"weights"
    assert weights.stat().st_mtime == 1_000_000_000
    assert "that of release v2" in capsys.readouterr().out
    weights.write_bytes(b"mine")
    assert restore.main() == 0 and weights.read_bytes() == b"mine"


def test_without_one_the_latest_is_taken_and_without_any_everything_is_computed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore.main() == 0
    assert "everything is computed here" in capsys.readouterr().out
    server.publish("tags/v2", {"notes.txt": b"no archive"})
    server.publish("latest", summed(archive()))
    assert restore.main() == 0
    assert (tmp_path / "project/build/detectors/d.s0.safetensors").is_file()


@pytest.mark.parametrize(
    ("assets", "told"),
    [
        (
            summed(archive()) | {"tff-1-build.tar.gz": archive(content=b"tampered")},
            "is not what its SHA256SUMS says",
        ),
        (summed(archive("../outside.txt")), "outside"),
    ],
)
def test_a_wrong_archive_is_refused(
    assets: dict[str, bytes], told: str, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.publish("latest", assets)
    assert restore.main() == 1
    assert told in capsys.readouterr().err
    assert not list((tmp_path / "project").iterdir()) and not (tmp_path / "outside.txt").exists()
