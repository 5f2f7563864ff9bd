"""Training: repeatable, resumable after a kill, cached by content, and clear about what is missing."""

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from tff_core import detectors
from tff_core.detectors import training
from tff_core.pictures import data
from tff_core.store import results

sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import build

HELD = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")
SETTINGS = training.Config(
    n=24, n_val=12, epochs=3, batch_size=8, learning_rate=5e-3, precision="float32", checkpoint_steps=2,
    blur=0.3, jpeg=0.3, grayscale=0.3,
)  # fmt: skip


def tiny(logits: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, logits),
    )  # fmt: skip


def pictures(root: Path, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for label, name in enumerate(data.LABELS):
        (root / name).mkdir(parents=True)
        for i in range(n):
            noise = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            if label:  # a fake repeats each pixel: nearest upsampling
                noise = noise[::2, ::2].repeat(2, 0).repeat(2, 1)
            Image.fromarray(noise).save(root / name / f"{i:03d}.png")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> detectors.Spec:
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny))
    made = detectors.Spec("tiny-test", "tiny")
    monkeypatch.setitem(detectors.REGISTRY, "tiny-test", made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> results.Store:
    made = results.Store(tmp_path / "build")
    pictures(made.data("miniature", "train", "progan"), 30, seed=0)
    pictures(made.data("miniature", "val", "progan"), 12, seed=1)
    return made


def run(
    spec: detectors.Spec, store: results.Store, settings: training.Config = SETTINGS, seed: int = 0
) -> Path:
    return training.train(spec, seed, store, progress=False, settings=settings, device="cpu")


def same(a: Path, b: Path) -> bool:
    one, two = load_file(a), load_file(b)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_it_learns_and_records_what_it_did(spec: detectors.Spec, store: results.Store) -> None:
    path = run(spec, store, replace(SETTINGS, epochs=30, learning_rate=0.02, blur=0, jpeg=0, grayscale=0))
    info = results.read_json(path.with_suffix(".json"))
    assert info["validation"]["ap"] > 0.95
    assert info["validation"]["n_real"] == info["validation"]["n_fake"] == 12
    assert info["abstain"][0] <= info["threshold"] <= info["abstain"][1]
    assert len(info["history"]["loss"]) == 30 * 6
    assert np.mean(info["history"]["loss"][-20:]) < 0.5 * np.mean(info["history"]["loss"][:20])
    assert [point["step"] for point in info["history"]["validation"]] == [6 * (i + 1) for i in range(30)]
    detector = detectors.load(spec.name, 0, store)
    held_out = data.scan(store.data("miniature", "val", "progan"))
    scores = detectors.logits(detector.model, data.batches(held_out, 7))
    called = (scores >= detector.threshold).astype(int)
    right = (called == np.array(held_out.labels)).mean()
    assert right == pytest.approx((info["validation"]["acc_real"] + info["validation"]["acc_fake"]) / 2)
    assert not list(path.parent.glob("*.part.pt"))


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(
    spec: detectors.Spec, store: results.Store, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    first = run(spec, store).rename(tmp_path / "first.safetensors")
    torch.manual_seed(2)  # what the caller does with the global generator does not matter
    assert same(first, run(spec, store))
    assert torch.initial_seed() == 2
    assert not same(first, run(spec, store, seed=1))


@pytest.mark.slow
def test_it_starts_from_the_trunk_of_a_classifier(
    spec: detectors.Spec, store: results.Store, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    classifier, detector = tiny(4), tiny()
    start = tmp_path / "classifier.safetensors"
    save_file(classifier.state_dict(), start)
    head = detector[-1].weight.clone()
    training.begin_from(detector, start)
    assert torch.equal(detector[0].weight, classifier[0].weight)
    assert torch.equal(detector[1].running_mean, classifier[1].running_mean)
    assert torch.equal(detector[-1].weight, head)
    scratch = run(spec, store).rename(tmp_path / "scratch.safetensors")
    still = replace(SETTINGS, learning_rate=1e-12, weight_decay=0.0)
    begun = training.train(spec, 0, store, False, still, "cpu", start)
    assert torch.allclose(load_file(begun)["0.weight"], classifier[0].weight, atol=1e-6)
    # other weights to start from make another detector; the same ones are not trained from again
    trained = training.train(spec, 0, store, False, SETTINGS, "cpu", start)
    assert not same(scratch, trained)
    before = trained.stat().st_mtime_ns
    assert training.train(spec, 0, store, False, SETTINGS, "cpu", start).stat().st_mtime_ns == before


@pytest.mark.parametrize("other", [tiny()[:1], nn.Sequential(nn.Conv2d(3, 4, 3), *tiny()[1:])])
def test_it_does_not_start_from_another_network(other: nn.Module, tmp_path: Path) -> None:
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(detectors.WeightsError, match="of another network"):
        training.begin_from(tiny(), tmp_path / "other.safetensors")


@pytest.mark.slow
def test_a_detector_is_trained_on_the_planes_that_it_declares(
    monkeypatch: pytest.MonkeyPatch, spec: detectors.Spec, store: results.Store, tmp_path: Path
) -> None:
    plain = run(spec, store).rename(tmp_path / "plain.safetensors")
    seen = []
    normalize = data.normalize

    def watch(x: torch.Tensor, preprocessing: data.Preprocessing = data.IMAGENET) -> torch.Tensor:
        seen.append(preprocessing.planes)
        return normalize(x, preprocessing)

    monkeypatch.setattr(data, "normalize", watch)
    blind = replace(spec, preprocessing=replace(data.IMAGENET, planes="luma"))
    gray = run(blind, store)
    assert set(seen) == {"luma"}  # in training, validation and calibration
    assert not same(plain, gray)
    assert results.read_json(gray.with_suffix(".json"))["identity"]["preprocessing"]["planes"] == "luma"


def test_crops_are_parts_of_the_pictures_at_places_of_their_own() -> None:
    pixels = torch.arange(40 * 24).reshape(1, 1, 40, 24).expand(64, 3, -1, -1).to(torch.int32)
    plain = replace(SETTINGS, crop=0.875, blur=0, jpeg=0, flip=0, grayscale=0)
    out = training.augment(pixels, torch.Generator().manual_seed(0), plain)
    assert out.shape == (64, 3, 35, 21)
    places = set()
    for one in out:
        y, x = divmod(int(one[0, 0, 0]), 24)
        assert torch.equal(one, pixels[0, :, y : y + 35, x : x + 21])
        places.add((y, x))
    assert {y for y, _ in places} == set(range(6)) and {x for _, x in places} == set(range(4))
    whole = training.augment(pixels, torch.Generator().manual_seed(0), replace(plain, crop=1.0))
    assert torch.equal(whole, pixels)
    for wrong in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="share of the picture's side"):
            replace(SETTINGS, crop=wrong)


def slow_run(root: Path) -> None:
    """What a child process does: the same run, slow enough to be killed in its middle."""
    torch.set_num_threads(1)
    detectors.ARCHITECTURES["tiny"] = detectors.Architecture("Tiny", 2, tiny)
    one_step = training._Run._one_step

    def slow_step(self: training._Run) -> float:
        time.sleep(0.03)
        return one_step(self)

    training._Run._one_step = slow_step  # type: ignore[method-assign]
    run(detectors.Spec("tiny-test", "tiny"), results.Store(root))


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_weights_of_an_undisturbed_run(
    spec: detectors.Spec, store: results.Store, tmp_path: Path
) -> None:
    whole = run(spec, store)
    undisturbed = whole.rename(tmp_path / "undisturbed.safetensors")
    history = results.read_json(whole.with_suffix(".json"))["history"]
    whole.with_suffix(".json").unlink()
    checkpoint = whole.with_suffix(".part.pt")
    dice = random.Random(0)
    # children of a server that has computed nothing: a process with torch's threads cannot be forked safely
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tff_core.detectors.training"])
    kills = resumed = 0
    for _ in range(20):
        resumed += checkpoint.is_file()
        child = processes.Process(target=slow_run, args=(store.root,))
        child.start()
        deadline = time.monotonic() + 60
        while child.is_alive() and not checkpoint.is_file() and time.monotonic() < deadline:
            time.sleep(0.01)  # the first child is killed once it has saved something
        child.join(dice.uniform(0.05, 0.4))
        if child.exitcode is not None:
            break
        child.kill()
        child.join()
        kills += 1
    assert kills >= 2
    assert resumed >= 1
    assert same(undisturbed, run(spec, store))
    assert results.read_json(whole.with_suffix(".json"))["history"] == history


@pytest.mark.slow
def test_what_is_there_is_not_trained_again_but_a_change_is_seen(
    spec: detectors.Spec, store: results.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run(spec, store)
    stamp = path.stat().st_mtime_ns
    run(spec, store)
    run(spec, store, replace(SETTINGS, checkpoint_steps=5))
    assert path.stat().st_mtime_ns == stamp
    run(spec, store, replace(SETTINGS, grayscale=0.5))
    assert path.stat().st_mtime_ns > stamp
    key = results.read_json(path.with_suffix(".json"))["key"]
    picture = data.scan(store.data("miniature", "train", "progan")).paths[0]
    Image.new("RGB", (16, 16)).save(picture)
    run(spec, store, replace(SETTINGS, grayscale=0.5))
    assert results.read_json(path.with_suffix(".json"))["key"] != key


@pytest.mark.slow
def test_damaged_files_are_made_anew(
    spec: detectors.Spec, store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(spec, store)
    kept = tmp_path / "kept.safetensors"
    kept.write_bytes(path.read_bytes())
    path.write_bytes(b"")
    assert same(kept, run(spec, store))
    assert "is damaged: training it again" in capsys.readouterr().err
    path.with_suffix(".json").write_text("{")
    assert same(kept, run(spec, store))
    path.unlink()
    checkpoint = path.with_suffix(".part.pt")
    checkpoint.write_bytes(b"PK junk")
    with pytest.raises(ValueError, match=r"part\.pt is damaged .* was deleted: run again"):
        run(spec, store)
    assert same(kept, run(spec, store))


def test_missing_pictures_are_named(spec: detectors.Spec, store: results.Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train/progan is not there.*-m tff_core\.miniature sample"):
        run(spec, results.Store(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="has 30 real and 30 fake pictures: expected at least 31"):
        run(spec, store, replace(SETTINGS, n=31))
    with pytest.raises(ValueError, match="48 pictures are less than one batch of 50"):
        run(spec, store, replace(SETTINGS, batch_size=50))
    with pytest.raises(ValueError, match="precision 'half': expected float32 or bfloat16"):
        run(spec, store, replace(SETTINGS, precision="half"))


def test_a_diverging_loss_stops_the_run(spec: detectors.Spec, store: results.Store) -> None:
    with pytest.raises(FloatingPointError, match=r"the loss is .* at step .*lower the learning rate"):
        run(spec, store, replace(SETTINGS, learning_rate=1e38, epochs=10))


def test_command_line(spec: detectors.Spec, store: results.Store, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--detector", spec.name, "--build", str(store.root), "--quiet", "--device", "cpu"]
    small = ["--n", "24", "--n-val", "12", "--epochs", "1"]
    assert training.main(arguments + small) == 0
    assert capsys.readouterr().out.strip() == str(store.detector(spec.name, 0))
    assert training.main([*arguments, "--seed", "1"]) == 2
    assert "error: " in capsys.readouterr().err


def scene_pictures(root: Path, n: int, seed: int) -> None:
    """Reals of two classes, smooth and rough, and fakes that must not be looked at: all black."""
    rng = np.random.default_rng(seed)
    for group in ("rough", "smooth"):
        for label in data.LABELS:
            (root / group / label).mkdir(parents=True)
        for i in range(n):
            noise = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            if group == "smooth":
                noise = np.broadcast_to(noise[:1, :1], noise.shape)
            Image.fromarray(np.ascontiguousarray(noise)).save(root / group / "0_real" / f"{i:03d}.png")
            Image.new("RGB", (16, 16)).save(root / group / "1_fake" / f"{i:03d}.png")


@pytest.fixture
def classifier(spec: detectors.Spec, monkeypatch: pytest.MonkeyPatch) -> detectors.Spec:
    made = detectors.Spec("tiny-scenes", "tiny", classes=("smooth", "rough"))
    monkeypatch.setitem(detectors.REGISTRY, made.name, made)
    return made


def test_a_classifier_learns_what_the_reals_show(classifier: detectors.Spec, tmp_path: Path) -> None:
    store = results.Store(tmp_path / "build")
    scene_pictures(store.data("miniature", "train", "progan"), 20, seed=0)
    scene_pictures(store.data("miniature", "val", "progan"), 10, seed=1)
    settings = replace(SETTINGS, n=40, n_val=20, epochs=20, learning_rate=0.02, blur=0, jpeg=0, grayscale=0)
    path = run(classifier, store, settings)
    info = results.read_json(path.with_suffix(".json"))
    assert info["n_train"] == [40, 0] and info["validation"]["n"] == 20
    assert info["classes"] == ["smooth", "rough"] and "threshold" not in info
    found = info["validation"]
    assert found["accuracy_low"] < found["accuracy"] <= found["accuracy_high"] <= 1
    assert found["accuracy"] > 0.9 and info["history"]["validation"][-1]["accuracy"] > 0.9
    model = detectors.load(classifier.name, 0, store).model
    reals = data.scan(store.data("miniature", "val", "progan")).where(label=0)
    chosen = model(data.normalize(data.load(reals))).argmax(1)
    right = [classifier.classes[int(c)] == group for c, group in zip(chosen, reals.groups, strict=True)]
    assert np.mean(right) == found["accuracy"]
    stamp = path.stat().st_mtime_ns
    run(classifier, store, settings)
    assert path.stat().st_mtime_ns == stamp


def test_a_classifier_needs_pictures_of_its_classes(
    classifier: detectors.Spec, store: results.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"has the classes \(\): expected a folder for each of \('smooth'"):
        run(classifier, store)
    arguments = ["--detector", classifier.name, "--build", str(store.root), "--n", "24", "--n-val", "12"]
    assert training.main(arguments) == 2
    assert "tiny-scenes tells apart" in capsys.readouterr().err


def test_what_was_trained_before_there_were_classifiers_is_not_trained_again(
    spec: detectors.Spec, store: results.Store
) -> None:
    identity = results.read_json(run(spec, store).with_suffix(".json"))["identity"]
    assert set(identity) == {"recipe", "network", "seed", "settings", "train", "val", "torch"}
    assert "classes" not in identity["settings"]


def test_augmentation_happens_as_often_and_as_strongly_as_it_says() -> None:
    n = 400
    pixels = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8).repeat(n, 1, 1, 1)
    none = replace(SETTINGS, crop=1.0, blur=0, jpeg=0, flip=0, grayscale=0)
    changes = {"blur": 0.1, "jpeg": 0.1, "flip": 0.5, "grayscale": 0.3}
    for name, p in changes.items():
        generator = torch.Generator().manual_seed(0)
        out = training.augment(pixels, generator, replace(none, **{name: p}))
        changed = (out != pixels).flatten(1).any(1)
        assert abs(float(changed.float().mean()) - p) < 3 * (p * (1 - p) / n) ** 0.5 + 0.01, name
        if name == "flip":
            assert torch.equal(out[changed], pixels[changed].flip(-1))
        if name == "grayscale":
            assert (out[changed].amax(1) == out[changed].amin(1)).all()
        if name == "blur":
            assert (out[changed].float().std((1, 2, 3)) <= pixels[0].float().std() + 1).all()
    assert torch.equal(training.augment(pixels, torch.Generator(), none), pixels)


def test_other_augmentations_do_not_shift_the_random_draws() -> None:
    pixels = torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8)
    plain = replace(SETTINGS, blur=0, jpeg=0, grayscale=0)
    with_gray = training.augment(pixels, torch.Generator().manual_seed(3), replace(plain, grayscale=1))
    without = training.augment(pixels, torch.Generator().manual_seed(3), plain)
    assert torch.equal(data.grayscale(without), with_gray)


@pytest.mark.slow
def test_nothing_but_the_settings_chooses_the_precision(spec: detectors.Spec, store: results.Store) -> None:
    seen: list[str] = []
    layer = nn.Conv2d.forward

    def watch(self: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        out = layer(self, x)
        seen.append(f"{out.dtype} {torch.get_float32_matmul_precision()} {torch.backends.cudnn.allow_tf32}")
        return out

    torch.set_float32_matmul_precision("medium")  # which lets a processor take bfloat16 where it has it
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn.Conv2d, "forward", watch)
            first = run(spec, store, replace(SETTINGS, epochs=1))
            trained = {*seen}
            low = run(spec, store, replace(SETTINGS, epochs=1, precision="bfloat16"), seed=1)
        assert torch.get_float32_matmul_precision() == "medium"  # and is left as it was
    finally:
        torch.set_float32_matmul_precision("highest")
    assert trained == {"torch.float32 highest False"}
    assert any(what.startswith("torch.bfloat16") for what in seen)
    precision = [results.read_json(p.with_suffix(".json"))["provenance"]["precision"] for p in (first, low)]
    assert precision == ["torch.float32", "torch.bfloat16"]


def test_settings_of_the_registered_detectors() -> None:
    # on every processor the same: none is asked what it computes natively
    assert {training.config(detectors.get(name)).precision for name in detectors.names()} == {"float32"}
    robust = detectors.Spec("x", "resnet50", options={"grayscale": 0.5})
    assert training.config(robust).grayscale == 0.5
    assert training.config(robust, n=7).n == 7


@pytest.mark.slow
def test_a_processor_with_wider_vectors_makes_the_same_detector(store: results.Store, tmp_path: Path) -> None:
    """The book's own environment, beside one in which the kernels of oneDNN and torch could be wider."""
    made = {}
    for name, kernels in {
        "book": build.vectors(),
        "own": {},
        "wide": {"ONEDNN_MAX_CPU_ISA": "DEFAULT"},
    }.items():
        variables = {key: value for key, value in os.environ.items() if key not in HELD} | kernels
        copy = results.Store(tmp_path / name)
        shutil.copytree(store.root, copy.root)
        command = [
            sys.executable, "-m", "tff_core.detectors.training", "--detector", "resnet18-miniature",
            "--n", "8", "--n-val", "4", "--epochs", "1", "--batch-size", "8", "--device", "cpu",
        ]  # fmt: skip
        subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True,
            env=variables | {"TFF_BUILD": str(copy.root), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        made[name] = results.read_json(copy.detector("resnet18-miniature", 0).with_suffix(".json"))["sha256"]
    assert made["book"] == made["own"]
    if "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        assert made["wide"] != made["own"]  # else nothing would be shown here
