"""Generators that learn to pass a patch classifier: it stays as it is, its loss falls, bits are the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import where
from interruptions import interrupted
from safetensors.torch import load_file, save_file

from tff_core import localization
from tff_core.localization import PatchClassifier, adaptive, evaluation, inputs, maps, weights
from tff_core.localization.inputs import Preparation
from tff_core.localization.training import Config
from tff_core.miniature import generators, learning
from tff_core.miniature.learning import Settings
from tff_core.pictures import data
from tff_core.store.results import Store, read_json

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = Preparation()
PROGAN = generators.WEIGHTS / "progan.s310.safetensors"


def few(steps: int = 10, **changes: Any) -> Settings:
    return adaptive.settings(steps, **{"batch": 8, "size": 32, "pictures": 16, "rate": 2e-3, **changes})


def strict() -> PatchClassifier:
    """A classifier to which real is what has a trace of period 2, which no generator makes by itself."""
    net = where.knowing(1)
    net.fake_class = 0
    return net


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def run(out: Path, store: Store, net: PatchClassifier, settings: Settings | None = None, **more: Any) -> Path:
    options = {"weight": 5.0, "store": store, "progress": False, **more}
    return adaptive.adapt(PROGAN, net, out, settings or few(), **options)


def told(path: Path) -> list[float]:
    return [entry["classifier"] for entry in read_json(path.with_suffix(".json"))["history"]]


def bits(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def same(a: Path, b: Path) -> bool:
    one, two = bits(a), bits(b)
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def watched() -> learning.Watched:
    return learning.Watched(few(), 8)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["progan.s310", "stargan.s319", "cyclegan.s317"])
def test_the_classifier_stays_and_its_loss_falls(
    store: Store, tmp_path: Path, watched: learning.Watched, family: str
) -> None:
    net = strict().train()
    before = copy.deepcopy(net.state_dict())
    start = generators.WEIGHTS / f"{family}.safetensors"
    path = adaptive.adapt(
        start, net, tmp_path / "x.safetensors", few(), weight=5.0, store=store, progress=False
    )
    assert net.training and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    losses = told(path)
    assert len(losses) == 10 and sum(losses[-3:]) < 0.6 * sum(losses[:3]), losses
    # on pictures that neither has seen
    net.eval()
    old, new = (generators.load(one)[0] for one in (start, path))
    judged = [
        float(
            adaptive.seeming(net, torch.from_numpy(watched.fakes(one)).permute(0, 3, 1, 2) / 127.5 - 1, ALL)
        )
        for one in (old, new)
    ]
    assert judged[1] < 0.8 * judged[0]
    about = generators.load(path)[1]
    assert about["family"] == family.partition(".")[0] and about["classifier"] == adaptive.digest(net)


@pytest.mark.slow
def test_without_the_classifier_its_loss_is_told_and_does_nothing(store: Store, tmp_path: Path) -> None:
    one, two = (
        run(tmp_path / f"{i}.safetensors", store, net, few(4), weight=0.0)
        for i, net in enumerate((strict(), where.knowing(0)))
    )
    assert same(one, two) and told(one) != told(two) and min(told(one)) > 1
    assert not same(one, run(tmp_path / "w.safetensors", store, strict(), few(4), weight=1.0))
    kinds = set(read_json(one.with_suffix(".json"))["history"][0])
    assert kinds == {"step", "critic", "generator", "rebuild", "classifier"}


@pytest.mark.slow
def test_what_is_told_is_the_cross_entropy_of_training(store: Store) -> None:
    for net in (strict(), where.knowing(1), localization.build("resnet18", "kaiming")):
        net.requires_grad_(False)
        x = torch.rand(3, 3, 32, 32) * 2 - 1
        p = net(x).softmax(1)[:, net.real_class]
        assert float(adaptive.seeming(net, x, ALL)) == pytest.approx(float(-p.log().mean()), rel=1e-5)
    # what the classifier does not see makes no difference to it, and what it sees reaches the generator
    pixels = torch.from_numpy(where.noise(2, 32, 32)).permute(0, 3, 1, 2)
    seen = Preparation(planes="luma", highpass=3, contrast=0.125)
    net = where.knowing(1)
    expected = -maps.margin(net, inputs.normalised(pixels, "cpu", seen)).neg().sigmoid().log().mean()
    fakes = (pixels / 127.5 - 1).requires_grad_()
    loss = adaptive.seeming(net, fakes, seen)
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)
    loss.backward()
    assert fakes.grad is not None and fakes.grad.abs().max() > 0
    colour = torch.tensor([1.0, -data.LUMA[0] / data.LUMA[1], 0.0]).view(1, 3, 1, 1)  # of no luma
    assert (fakes.grad * colour).sum(1).abs().max() < 1e-3 * fakes.grad.abs().max()


@pytest.mark.slow
def test_an_interrupted_training_ends_in_the_same_bits(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = strict()
    whole = run(tmp_path / "whole.safetensors", store, net, few(5))
    for stop in (2, 5):  # before a checkpoint, behind one in the last step
        path = tmp_path / f"{stop}.safetensors"
        with interrupted(stop):
            run(path, store, net, few(5), checkpoint_every=3)
        assert not path.exists()
        there = path.with_name(path.name + ".checkpoint")
        assert there.exists() == (stop > 3)
        run(path, store, net, few(5), checkpoint_every=3)
        assert same(whole, path) and told(whole) == told(path) and not there.exists()
    stamp = whole.stat().st_mtime_ns
    assert run(whole, store, net, few(5)).stat().st_mtime_ns == stamp
    # another classifier is another training
    other = strict()
    other.convout.bias += 0.1
    assert not same(path, run(whole, store, other, few(5))) and whole.stat().st_mtime_ns != stamp
    whole.with_name(whole.name + ".checkpoint").write_bytes(b"PK no")
    whole.write_bytes(whole.read_bytes()[:-3])
    assert same(run(whole, store, net, few(5)), path)
    assert "is of another training or broken: starting at step 0" in capsys.readouterr().out


@pytest.mark.slow
def test_the_adaptive_test_from_weights_to_a_table(store: Store, tmp_path: Path) -> None:
    classifier = tmp_path / "classifier.safetensors"
    localization.save(strict(), classifier)
    again = Config(init="kaiming", max_epochs=4, batch_size=8)
    how: dict[str, Any] = {"n": (16, 8, 12), "weight": 5.0, "again": again, "store": store, "device": "cpu",
                           "progress": False}  # fmt: skip
    chosen = few(20, camera="2")
    table = adaptive.experiment(PROGAN, classifier, tmp_path / "e", chosen, **how)
    assert table[["classifier", "fakes"]].to_numpy().tolist() == [
        ["frozen", "before"], ["frozen", "control"], ["frozen", "adapted"], ["retrained", "before"],
        ["retrained", "adapted"],
    ]  # fmt: skip
    by = table.set_index(["classifier", "fakes"])
    base, adapted = by.loc[("frozen", "before")], by.loc[("frozen", "adapted")]
    # the generator has put in what this classifier takes for real
    assert adapted["ap"] < base["ap"] - 0.05 and adapted["difference_high"] < 0
    assert tuple(base[["difference", "difference_low", "difference_high"]]) == (0, 0, 0)
    assert (table["n"] == 24).all()
    folder = tmp_path / "e"
    sets = {name: data.scan(folder / name / "test") for name in adaptive.FAKES}
    reals = [[path.read_bytes() for path in sets[name].where(label=0).paths] for name in adaptive.FAKES]
    assert len({data.read(path).numpy().tobytes() for path in sets["before"].paths}) == 24
    pixels = [[data.read(p).numpy().tobytes() for p in sets[n].where(label=0).paths] for n in adaptive.FAKES]
    assert pixels[0] == pixels[1] == pixels[2] and len(reals[0]) == 12
    for name, images in sets.items():
        own = evaluation.evaluate(strict(), images, patches=False).main()
        assert by.loc[("frozen", name), "ap"] == own["ap"]
    other = weights.load(folder / "retrained.xception_block1.s0.safetensors")
    assert other.fake_class == strict().fake_class
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again_table = adaptive.experiment(PROGAN, classifier, folder, chosen, **how)
    pd.testing.assert_frame_equal(again_table, table)
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_makes_no_sense_is_one_sentence(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "o" / "x.safetensors"
    with pytest.raises(FileNotFoundError, match="no generator weights at"):
        adaptive.adapt(tmp_path / "none.safetensors", strict(), out, few(), store=store, progress=False)
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="holds no weights of a miniature generator"):
        adaptive.adapt(tmp_path / "a.safetensors", strict(), out, few(), store=store, progress=False)
    model = generators.build("diffusion")
    generators.save(model, tmp_path / "d.safetensors", {"family": "diffusion"})
    with pytest.raises(ValueError, match="diffusion is not trained against critics"):
        adaptive.adapt(tmp_path / "d.safetensors", strict(), out, few(), store=store, progress=False)
    with pytest.raises(ValueError, match=r"weight -1.0 of the classifier: expected 0 or more"):
        run(out, store, strict(), weight=-1.0)
    tall = localization.build("widenet_kw7_d9")
    with pytest.raises(ValueError, match="pictures of 32x32 pixels are too small for widenet_kw7_d9"):
        run(out, store, tall)
    classifier = tmp_path / "c.safetensors"
    localization.save(strict(), classifier, preparation={"load": 299, "fine": None})
    with pytest.raises(ValueError, match=r"resizes pictures to 299 pixels: expected one of pictures"):
        adaptive.experiment(PROGAN, classifier, tmp_path / "o", few(), store=store, progress=False)
    with pytest.raises(ValueError, match="load is 64: expected none"):
        adaptive.experiment(
            PROGAN, classifier, tmp_path / "o", few(), again=Config(load=64), store=store, progress=False
        )
    assert not (tmp_path / "o").exists()
