"""Writes are whole or absent; equal content has equal fingerprints."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tff_core.store import results


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    results.write_text(target, "old")
    with pytest.raises(RuntimeError), results.atomic_write(target) as part:
        part.write_text("half")
        raise RuntimeError("killed")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


_WRITER = """
import sys, time
from tff_core.store import results
with results.atomic_write(sys.argv[1]) as part:
    part.write_text("half")
    print("at work", flush=True)
    time.sleep(600)
"""


def test_what_is_no_longer_needed_goes_with_what_killed_writes_of_it_left(tmp_path: Path) -> None:
    path = tmp_path / "sums.npz"
    path.write_bytes(b"sums")
    abandoned = tmp_path / ".sums.npz.abc123.npz"  # as young as can be
    abandoned.write_bytes(b"half")
    other = tmp_path / ".other.npz.abc123.npz"
    other.write_bytes(b"half")
    with results.atomic_write(path) as part:
        part.write_bytes(b"a process that still writes")
        results.forget(path)
        assert part.is_file() and not abandoned.exists() and not path.exists()
    assert path.read_bytes() == b"a process that still writes" and other.is_file()
    results.forget(path)
    results.forget(path)
    assert [one.name for one in tmp_path.iterdir()] == [other.name]


def test_what_a_killed_write_left_behind_is_removed_by_the_next_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    target, other = tmp_path / "a.csv", tmp_path / ".b.csv.1.csv"
    other.write_text("half")
    command = [sys.executable, "-c", _WRITER, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"at work\n"
        (part,) = tmp_path.glob(".a.csv.*")
        for seconds in (0, 300):  # as young as can be, and minutes old
            for found in (part, other):
                os.utime(found, (time.time() - seconds, time.time() - seconds))
            results.write_text(target, "whole")
            assert part.exists()
        os.utime(part)
        writer.kill()
        writer.wait()
        assert part.exists()
    results.write_text(target, "again")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.csv.1.csv", "a.csv"]


_RIVAL = """
import sys
from tff_core.store import results
for number in range(400):
    results.write_text(sys.argv[1], sys.argv[2] * 100)
"""


@pytest.mark.slow
def test_writers_of_one_file_do_not_take_each_others_unfinished_ones_for_abandoned(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    rivals = [
        subprocess.Popen([sys.executable, "-c", _RIVAL, str(target), name], stderr=subprocess.PIPE)
        for name in "abcd"
    ]
    for rival in rivals:
        assert rival.communicate()[1] == b"" and rival.returncode == 0
    assert target.read_text() in {name * 100 for name in "abcd"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_writer_that_was_stopped_as_it_began_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_YOUNG", 0.02)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        results.fcntl.flock(handle, results.fcntl.LOCK_EX)
        results.write_text(tmp_path / "a.csv", "whole")
    finally:
        os.close(handle)
    assert (tmp_path / "a.csv").read_text() == "whole"


def test_where_locks_do_not_work_age_tells_what_was_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(results.fcntl, "flock", flock)
    old, young = (tmp_path / name for name in (".a.csv.1.csv", ".a.csv.2.csv"))
    for part, seconds in ((old, 7200), (young, 300)):
        part.write_text("half")
        os.utime(part, (time.time() - seconds, time.time() - seconds))
    results.write_text(tmp_path / "a.csv", "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.csv.2.csv", "a.csv"]


def test_a_full_disk_is_one_clear_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"no space left on the disk of .*free some"),
        results.atomic_write(tmp_path / "x.csv"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_ignores_key_order_and_sees_values() -> None:
    assert results.fingerprint({"a": 1, "b": 2}) == results.fingerprint({"b": 2, "a": 1})
    assert results.fingerprint({"a": 1}) != results.fingerprint({"a": 2})


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json is not valid JSON"):
        results.read_json(tmp_path / "x.json")


def test_store_root_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFF_BUILD", str(tmp_path))
    assert results.Store().detector("a", 1) == tmp_path / "detectors" / "a.s1.safetensors"
    assert results.Store("/elsewhere").root == Path("/elsewhere")
