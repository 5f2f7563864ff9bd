"""Sums that were begun: continued to the same bits, never those of something else, deleted in the end."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lrp_nets import pictures, toy
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from tff_core import detectors, lrp
from tff_core.features import ffrs, maxima, patches, sensitivity
from tff_core.features.names import FeatureMap
from tff_core.pictures import data
from tff_core.store import checkpoint, results
from tff_core.store.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


class Ended(Exception):
    """The process was killed here."""


def until(batches: list[Tensor], stop: int) -> Iterator[Tensor]:
    """The batches, and the end of the process after so many."""
    for number, batch in enumerate(batches):
        if number == stop:
            raise Ended
        yield batch


@pytest.fixture(scope="module")
def net() -> lrp.Net:
    model, x = toy(3), pictures(24, 32)
    with torch.no_grad():
        model.fc.weight *= 100  # type: ignore[operator,union-attr]
        model.fc.bias -= model(x).median()  # type: ignore[operator,union-attr]
    return lrp.canonize(model)


BATCHES = list(pictures(24, 32).split(3))


def same(a: ffrs.Omega, b: ffrs.Omega) -> bool:
    """Equal to the last bit."""
    assert (a.count, a.seen, a.unsure, a.poisoned) == (b.count, b.seen, b.unsure, b.poisoned)
    return all(a.values[k].tobytes() == b.values[k].tobytes() for k in a.values)


@pytest.mark.parametrize("seed", range(8))
def test_omega_continues_to_the_same_bits(net: lrp.Net, tmp_path: Path, seed: int) -> None:
    """Ended at random batches, with the sums written now and then only."""
    rng = random.Random(seed)
    expected = ffrs.ff_rs(net, BATCHES, confidence=0.6)
    path = tmp_path / "sums.npz"
    for _ in range(rng.randrange(1, 4)):
        sums = Checkpoint(path, "key", every=rng.choice([0.0, 0.003]))
        with pytest.raises(Ended):
            ffrs.ff_rs(net, until(BATCHES, rng.randrange(len(BATCHES))), confidence=0.6, checkpoint=sums)
    walked = []
    forward = lrp.Net.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lrp.Net, "forward", lambda *args: walked.append(1) or forward(*args))  # type: ignore[func-returns-value]
        last = Checkpoint(path, "key", every=0.0)
        place = last.read().get("place", [0])[0]
        assert same(ffrs.ff_rs(net, BATCHES, confidence=0.6, checkpoint=last), expected)
    assert len(walked) == len(BATCHES) - place  # what was done is not done again
    assert path.is_file()  # until its caller has written the result
    last.delete()
    last.delete()
    assert not path.exists()


def test_what_is_finished_is_not_computed_again(net: lrp.Net, tmp_path: Path) -> None:
    sums = Checkpoint(tmp_path / "sums.npz", "key", every=0.0)
    expected = ffrs.ff_rs(net, BATCHES, confidence=0.6, checkpoint=sums)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lrp.Net, "forward", None)
        assert same(ffrs.ff_rs(net, BATCHES, confidence=0.6, checkpoint=sums), expected)


def test_a_damaged_or_foreign_file_is_left_aside_with_a_sentence(
    net: lrp.Net, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sums.npz"
    expected = ffrs.ff_rs(net, BATCHES, confidence=0.6)
    with pytest.raises(Ended):
        ffrs.ff_rs(net, until(BATCHES, 5), confidence=0.6, checkpoint=Checkpoint(path, "key", every=0.0))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", b"PK\x03\x04 junk", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        sums = Checkpoint(path, "key")
        assert same(ffrs.ff_rs(net, BATCHES, confidence=0.6, checkpoint=sums), expected)
        assert f"{path} is damaged" in capsys.readouterr().err
    path.write_bytes(whole)
    assert Checkpoint(path, "key").read() and capsys.readouterr().err == ""
    assert same(ffrs.ff_rs(net, BATCHES, confidence=0.6, checkpoint=Checkpoint(path, ["other"])), expected)
    assert f"{path} belongs to other weights, pictures or settings" in capsys.readouterr().err


@pytest.mark.slow
def test_every_weight_and_operation_is_in_the_fingerprint() -> None:
    first = lrp.canonize(toy(3)).fingerprint()
    assert lrp.canonize(toy(3)).fingerprint() == first
    assert lrp.canonize(toy(3), reference=True).fingerprint() != first
    assert lrp.canonize(toy(3)).to(dtype=torch.bfloat16).fingerprint() != first
    assert lrp.canonize(toy(3, silu=True)).fingerprint() != first
    for name, _ in toy(3).named_parameters():
        model = toy(3)
        with torch.no_grad():
            model.get_parameter(name).view(-1)[0] += 1e-3
        assert lrp.canonize(model).fingerprint() != first, name


@pytest.mark.parametrize("stop", range(1, 8))
def test_maxima_continue_to_the_same_bits(net: lrp.Net, tmp_path: Path, stop: int) -> None:
    maps = [FeatureMap(layer, c, n) for layer, n in net.layers.items() for c in range(n)]
    expected = maxima.activation_max(net, BATCHES, maps, top=4)
    path = tmp_path / "best.npz"
    with pytest.raises(Ended):
        maxima.activation_max(
            net, until(BATCHES, stop), maps, top=4, checkpoint=Checkpoint(path, "key", every=0.0)
        )
    found = maxima.activation_max(net, BATCHES, maps, top=4, checkpoint=Checkpoint(path, "key"))
    for name in ("value", "image", "row", "col"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes()


# ------------------------------------------------------------------------------------------ through the store


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1),
    )  # fmt: skip


def folder(root: Path, n: int, sizes: tuple[int, ...] = (8,)) -> data.ImageSet:
    rng = np.random.default_rng(0)
    for label in data.LABELS:
        (root / label).mkdir(parents=True)
        for i in range(n):
            side = sizes[i % len(sizes)]
            noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / label / f"{i:05d}.bmp")
    return data.scan(root)


def made(root: Path, monkeypatch: pytest.MonkeyPatch, n: int, sizes: tuple[int, ...] = (8,)) -> results.Store:
    """A build with validation pictures and a detector that is sure of about half of them."""
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny))
    monkeypatch.setitem(detectors.REGISTRY, "tiny-test", detectors.Spec("tiny-test", "tiny"))
    store = results.Store(root)
    images = folder(store.data("miniature", "val", "progan"), n, sizes)
    model = tiny().eval()
    logits = detectors.logits(model, data.batches(images.where(first=50)))
    weights = model.state_dict()
    weights["5.weight"] *= 1e3
    weights["5.bias"] = (weights["5.bias"] - float(np.median(logits))) * 1e3
    path = store.detector("tiny-test", 0)
    path.parent.mkdir(parents=True)
    save_file(weights, path)
    results.write_json(path.with_suffix(".json"), {"threshold": 0.0})
    return store


def rank(store: results.Store, n: int | None = None, batch_size: int = 50) -> dict[str, bytes]:
    sensitivity.rank("tiny-test", 0, store, n, device="cpu", batch_size=batch_size, progress=False)
    return {path.name: path.read_bytes() for path in sorted(store.omega("tiny-test", 0).parent.iterdir())}


def ended(monkeypatch: pytest.MonkeyPatch, stops: list[int]) -> list[int]:
    """End the next runs after so many more batches; how many batches were walked by each."""
    walked = [0]
    of_batch, every = ffrs._add_batch, Checkpoint.__init__

    def limited(*args: object) -> tuple[int, int]:
        walked[-1] += 1
        if stops and walked[-1] > stops[0]:
            stops.pop(0)
            walked.append(0)
            raise Ended
        return of_batch(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(ffrs, "_add_batch", limited)
    monkeypatch.setattr(Checkpoint, "__init__", lambda self, path, key: every(self, path, key, every=0.0))
    return walked


def test_a_ranking_continues_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path / "build", monkeypatch, 30, (8, 12, 9))
    expected = rank(store, batch_size=4)
    assert sorted(expected) == [
        f"tiny-test.s0-{label}.{kind}" for label in ("fake", "real") for kind in ("csv", "json")
    ]
    for name in expected:
        (store.omega("tiny-test", 0).parent / name).unlink()
    walked = ended(monkeypatch, [3, 7, 2])
    for _ in range(3):
        with pytest.raises(Ended):
            rank(store, batch_size=4)
    assert rank(store, batch_size=4) == expected
    assert results.read_json(store.omega("tiny-test", 0).with_suffix(".json"))["seen"] == 30
    total = 2 * 9  # thirty pictures of three sizes in fours, for each label
    assert sum(min(n, total) for n in walked) - 3 == total


def test_sums_of_other_pictures_or_batches_are_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = made(tmp_path / "build", monkeypatch, 20)
    expected = rank(store, n=15, batch_size=5)
    walked = ended(monkeypatch, [2])
    with pytest.raises(Ended):
        rank(store, n=15, batch_size=5)
    assert list(store.omega("tiny-test", 0).parent.glob("*.part.npz"))
    for arguments in ({"n": 14, "batch_size": 5}, {"n": 15, "batch_size": 4}):
        walked.clear()
        walked.append(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Checkpoint, "delete", lambda self: None)
            rank(store, **arguments)
        assert walked[-1] == 2 * -(-arguments["n"] // arguments["batch_size"])
        assert "belongs to other weights, pictures or settings" in capsys.readouterr().err
    assert rank(store, n=15, batch_size=5) == expected


@pytest.mark.slow
def test_a_run_over_thousands_of_pictures_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path / "build", monkeypatch, 1000)
    expected = rank(store)
    for name in expected:
        (store.omega("tiny-test", 0).parent / name).unlink()
    rng = random.Random(0)
    stops = [rng.randrange(1, 8) for _ in range(5)]
    walked = ended(monkeypatch, list(stops))
    for _ in stops:
        with pytest.raises(Ended):
            rank(store)
    assert rank(store) == expected
    assert sum(walked) - len(stops) == 40  # each batch of fifty once


def in_its_own_process(root: Path) -> None:
    """A ranking that writes its sums after every batch and takes its time."""
    torch.set_num_threads(1)
    detectors.ARCHITECTURES["tiny"] = detectors.Architecture("Tiny", 2, tiny)
    detectors.REGISTRY["tiny-test"] = detectors.Spec("tiny-test", "tiny")
    of_batch, every = ffrs._add_batch, Checkpoint.__init__

    def slow(*args: object) -> tuple[int, int]:
        time.sleep(0.02)
        return of_batch(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ffrs, "_add_batch", slow)
        patch.setattr(Checkpoint, "__init__", lambda self, path, key: every(self, path, key, every=0.0))
        rank(results.Store(root), batch_size=2)


@pytest.mark.slow
def test_a_ranking_that_is_killed_at_any_moment_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path / "build", monkeypatch, 60)
    expected = rank(store, batch_size=2)
    folder = store.omega("tiny-test", 0).parent
    for name in expected:
        (folder / name).unlink()
    processes, dice = multiprocessing.get_context("forkserver"), random.Random(0)
    processes.set_forkserver_preload(["tff_core.features.sensitivity", "lrp_nets"])
    kills = resumed = 0
    for _ in range(8):
        sums = list(folder.glob("*.part.npz"))
        resumed += bool(sums)
        child = processes.Process(target=in_its_own_process, args=(store.root,))
        child.start()
        deadline = time.monotonic() + 60
        while child.is_alive() and not list(folder.glob("*.part.npz")) and time.monotonic() < deadline:
            time.sleep(0.01)  # the first one is killed once it has written something
        child.join(dice.uniform(0.05, 0.5))
        if child.exitcode is not None:
            assert child.exitcode == 0
            break
        child.kill()
        child.join()
        kills += 1
    assert kills >= 2 and resumed >= 1
    assert rank(store, batch_size=2) == expected


def test_patches_continue_to_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = folder(tmp_path / "pictures", 12, (16, 20)).where(label=1)
    net = lrp.canonize(toy(3).float())
    maps = [FeatureMap(layer, 0, n) for layer, n in net.layers.items()]
    expected = patches.find(net, images, maps, top=3, batch_size=2)
    path = tmp_path / "best.npz"
    peaks, every, left = maxima._peaks, Checkpoint.__init__, [4]

    def limited(*args: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise Ended
        return peaks(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(maxima, "_peaks", limited)
    monkeypatch.setattr(Checkpoint, "__init__", lambda self, path, key: every(self, path, key, every=0.0))
    with pytest.raises(Ended):
        patches.find(net, images, maps, top=3, batch_size=2, checkpoint=path)
    assert path.is_file()
    left[0] = 2  # of six batches four are done
    found = patches.find(net, images, maps, top=3, batch_size=2, checkpoint=path)
    assert found.drop(columns="patch").equals(expected.drop(columns="patch"))
    assert left[0] == 0 and path.is_file()
    left[0] = 6  # other maps: from the beginning
    patches.find(net, images, maps[:2], top=3, batch_size=2, checkpoint=path)
    assert left[0] == 0


def test_a_checkpoint_is_written_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    sums = Checkpoint(tmp_path / "deep" / "sums.npz", {"a": 1}, every=20)
    assert not sums.due and sums.read() == {}
    now[0] += 20
    assert sums.due
    sums.write({"x": np.arange(3)})
    assert not sums.due
    assert sums.read()["x"].tolist() == [0, 1, 2] and "key" not in sums.read()
