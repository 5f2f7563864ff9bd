"""What all trainings share: the moving average, and the history that compares fakes with reals."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from interruptions import interrupted
from torch import nn
from torch.nn import functional as F

from tff_core.miniature import __main__ as command
from tff_core.miniature import generators, learning
from tff_core.miniature.adversarial import Adversarial
from tff_core.miniature.learning import Average, Settings, Watched
from tff_core.miniature.train import train
from tff_core.pictures import statistics
from tff_core.store.results import Store, read_json

TINY = Settings(steps=4, batch=4, pictures=16, size=32)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def watched():
    return Watched(TINY, count=16)


class Answer(nn.Module):
    """A generator that makes something of its source scenes."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, batch, partner, noise):
        return self.change(batch.images)


def _gray(images):
    return images.mean(1, keepdim=True).expand_as(images)


# --- the average


def test_the_average_follows_weights_and_buffers():
    model, averaged = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    average = Average(model, averaged, 0.9)
    expected = averaged.weight.detach().clone()
    for done in range(60):
        with torch.no_grad():
            model.weight.add_(1)
            model.running_mean.fill_(5)
            model.num_batches_tracked.fill_(done)
        average.update(done)
        decay = min(0.9, (1 + done) / (10 + done))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    assert torch.allclose(averaged.weight, expected, rtol=1e-5)
    assert torch.allclose(averaged.running_mean, torch.full((3,), 5.0), atol=0.05)
    assert averaged.num_batches_tracked == 59


def test_the_rate_falls_to_a_tenth_along_a_half_cosine(store):
    data = learning.pictures(16, 32, store, progress=False)
    training = Adversarial("progan", 0, TINY, data)
    seen = []
    for _ in range(TINY.steps):
        training.step()
        pairs = ((training.optimizer, TINY.rate), (training.critic_optimizer, TINY.critic_rate))
        seen.append([o.param_groups[0]["lr"] / rate for o, rate in pairs])
    expected = [1, 0.55 + 0.45 * 0.5**0.5, 0.55, 0.55 - 0.45 * 0.5**0.5]
    for both, share in zip(seen, expected, strict=True):
        assert both == pytest.approx([share, share])


# --- the history


def test_seeds_are_averaged_step_by_step():
    rows = [
        {"generator": "progan", "seed": seed, "step": step, "statistic": "luma detail", "auc": auc,
         "n_real": 64, "n_fake": 64}
        for seed, step, auc in ((1, 10, 0.2), (2, 10, 0.6), (1, 20, 0.5))
    ]  # fmt: skip
    table = learning.over_seeds(pd.DataFrame(rows))
    assert list(table["step"]) == [10, 20] and list(table["seeds"]) == [2, 1]
    assert table["auc"].tolist() == pytest.approx([0.4, 0.5])
    assert table["low"].tolist() == [0.2, 0.5] and table["high"].tolist() == [0.6, 0.5]


def test_a_generator_that_copies_its_scenes_differs_in_no_statistic(watched):
    found = watched.separations(Answer(lambda images: images))
    assert set(found) == set(statistics.measure(watched.fakes(Answer(_gray))))
    assert all(auc == pytest.approx(0.5) for auc in found.values())


def test_a_blur_takes_luma_detail_and_gray_takes_colour(watched):
    blurred = watched.separations(Answer(lambda images: F.avg_pool2d(images, 3, 1, 1)))
    assert blurred["luma detail"] < 0.3 and blurred["high to low Y"] < 0.3
    gray = watched.separations(Answer(_gray))
    assert gray["chroma detail"] < 0.1 and gray["saturation"] < 0.1
    assert 0.3 < gray["luma detail"] < 0.7


def test_no_watched_scene_is_one_of_the_training(watched, store):
    data = learning.pictures(16, 32, store, progress=False)
    distances = (data.images[:, None] - watched.sources.images[None]).abs().mean((2, 3, 4))
    assert distances.min() > 0.01
    assert torch.equal(watched.sources.labels, watched.partners.labels)


@pytest.mark.slow
def test_the_history_is_written_during_the_training_and_read_as_a_table(store, tmp_path):
    out = train("biggan", 3, tmp_path / "b.safetensors", TINY, every=3, store=store, progress=False)
    path = tmp_path / "b.history.json"
    content = read_json(path)
    assert [entry["step"] for entry in content["entries"]] == [3, 4]
    assert all(set(entry["losses"]) == {"critic", "generator", "rebuild"} for entry in content["entries"])
    table = learning.histories([path])
    assert set(table["generator"]) == {"biggan"} and set(table["seed"]) == {3}
    assert set(table["step"]) == {3, 4} and table["auc"].between(0, 1).all()
    assert len(table) == 2 * len(content["entries"][0]["auc"]) and (table["n_fake"] == 64).all()
    assert out.is_file()


@pytest.mark.slow
def test_a_history_survives_an_interruption(store, tmp_path):
    whole = tmp_path / "whole.safetensors"
    train("progan", 1, whole, TINY, every=1, store=store, progress=False)
    out = tmp_path / "broken.safetensors"
    with interrupted(4):
        train("progan", 1, out, TINY, every=1, store=store, progress=False, checkpoint_every=2)
    (tmp_path / "broken.history.json").unlink()
    train("progan", 1, out, TINY, every=1, store=store, progress=False)
    assert read_json(tmp_path / "broken.history.json") == read_json(tmp_path / "whole.history.json")


def test_what_is_no_history_is_named(tmp_path):
    path = tmp_path / "x.history.json"
    path.write_text(json.dumps({"family": "progan"}))
    with pytest.raises(ValueError, match=r"x.history.json is no history .*'seed'.*train-generator"):
        learning.histories([path])
    with pytest.raises(ValueError, match=r"entries of the history lie 1 to 4 steps apart.*found 0"):
        train("progan", 0, tmp_path / "w.safetensors", TINY, every=0)


@pytest.mark.slow
def test_the_command_line_trains_and_leaves_a_history(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFF_BUILD", str(tmp_path / "build"))
    small = {"batch": 4, "pictures": 16, "size": 32}
    monkeypatch.setattr(command, "usual", lambda family, **chosen: Settings(**chosen, **small))
    out = tmp_path / "p.safetensors"
    arguments = ["--quiet", "train-generator", "progan", "--seed", "2", "--steps", "2", "--out", str(out)]
    assert command.main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert [e["step"] for e in read_json(tmp_path / "p.history.json")["entries"]] == [1, 2]
    chosen = generators.load(out)[1]
    assert chosen["settings"]["camera"] == "2" and "--camera 2 --average 0.999" in chosen["command"]
    assert command.main([*arguments, "--camera", "1", "--average", "0.5"]) == 0
    other = generators.load(out)[1]
    assert (other["settings"]["camera"], other["settings"]["average"]) == ("1", 0.5)
    assert command.main([*arguments, "--average", "1.0"]) == 2
    assert command.main([*arguments, "--every", "9"]) == 2
    assert "1 to 2 steps apart" in capsys.readouterr().err
