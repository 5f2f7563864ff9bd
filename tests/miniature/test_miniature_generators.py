"""The seven generators: each upsamples in its own way; training is adversarial, seeded and resumable."""

from __future__ import annotations

import pytest
import torch
from interruptions import interrupted
from torch import nn
from torch.nn import functional as F

from tff_core.miniature import camera, generators, learning, scenes
from tff_core.miniature.adversarial import Adversarial
from tff_core.miniature.generators import FAMILIES
from tff_core.miniature.inputs import Batch, Noise
from tff_core.miniature.learning import Settings
from tff_core.miniature.train import train
from tff_core.store.results import Store

TINY = Settings(steps=3, batch=4, pictures=16, size=32)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def data(store):
    return learning.pictures(16, 32, store, progress=False)


@pytest.fixture(scope="module")
def batch():
    return Batch.of(
        [camera.take("val-source", label, i, size=32) for i in range(2) for label in scenes.CLASSES]
    )


def _noise(count=8, size=32, seed=0):
    return Noise.draw(count, size, torch.Generator().manual_seed(seed))


# --- ways of upsampling


def test_nearest_repeats_every_pixel():
    x = torch.arange(4.0).view(1, 1, 2, 2)
    expected = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]).float()
    assert torch.equal(generators.NearestUp()(x)[0, 0], expected)


def test_blurred_upsampling_is_nearest_then_1_2_1():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 1] = 16
    column = torch.tensor([0, 1, 3, 3, 1, 0, 0, 0]).float()
    assert torch.allclose(generators.BlurUp()(x)[0, 0], torch.outer(column, column), atol=1e-5)


def test_fir_upsampling_is_zero_insertion_then_1_3_3_1():
    x = torch.zeros(1, 2, 4, 4)
    x[0, 1, 2, 2] = 16
    column = torch.tensor([0, 0, 0, 1, 3, 3, 1, 0]).float()
    up = generators.FirUp()(x)[0]
    assert torch.allclose(up[1], torch.outer(column, column), atol=1e-5) and not up[0].any()


@pytest.mark.parametrize("up", [generators.NearestUp(), generators.BlurUp(), generators.FirUp()])
def test_upsampling_keeps_a_flat_picture_flat(up):
    assert torch.allclose(up(torch.full((1, 3, 5, 5), 0.7)), torch.full((1, 3, 10, 10), 0.7), atol=1e-6)


@pytest.mark.parametrize(
    ("family", "kinds"),
    [
        ("progan", {generators.NearestUp}),
        ("stylegan2", {generators.FirUp, generators.FirFilter}),
        ("stylegan", {generators.BlurUp, generators.FirFilter}),
        ("biggan", {generators.NearestUp}),
        ("cyclegan", {nn.ConvTranspose2d}),
        ("stargan", {nn.ConvTranspose2d}),
        ("gaugan", {generators.NearestUp}),
    ],
)
def test_every_picture_passes_the_upsampling_of_its_family(family, kinds, batch):
    every = (
        generators.NearestUp,
        generators.BlurUp,
        generators.FirUp,
        generators.FirFilter,
        nn.ConvTranspose2d,
    )
    seen = []
    model = generators.build(family).eval()
    for module in model.modules():
        if isinstance(module, every):
            module.register_forward_hook(lambda module, inputs, output: seen.append(type(module)))
    with torch.inference_mode():
        model(batch, batch[[4, 5, 6, 7, 0, 1, 2, 3]], _noise())
    assert set(seen) == kinds


def test_cyclegan_and_stargan_use_their_kernels():
    assert generators.CycleGAN().to_day.up.kernel_size == (3, 3)
    assert generators.StarGAN().net.up.kernel_size == (4, 4)


# --- what the families are known for


def test_modulated_convolution_equals_weights_modulated_picture_by_picture():
    torch.manual_seed(0)
    conv, x, style = generators.ModulatedConv(5, 4), torch.randn(3, 5, 6, 6), torch.randn(3, generators.STYLE)
    nn.init.normal_(conv.bias)
    for i in range(3):
        weight = conv.weight * conv.style(style[i])[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-6).sqrt()
        expected = F.conv2d(x[i : i + 1], weight, conv.bias, padding=1)
        assert torch.allclose(conv(x, style)[i : i + 1], expected, atol=1e-5)


def test_pixel_norm_gives_every_pixel_unit_length():
    x = generators._pixel_norm(torch.randn(2, 6, 3, 3) * 7)
    assert torch.allclose(x.square().mean(1), torch.ones(2, 3, 3), atol=1e-3)


def test_instance_norm_is_that_of_torch():
    x = torch.randn(2, 6, 5, 5) * 3 + 1
    assert torch.allclose(generators._instance_norm(x), F.instance_norm(x), atol=1e-5)


def test_gaugan_follows_its_map_and_biggan_its_class(batch):
    torch.manual_seed(0)
    noise = _noise()
    with torch.inference_mode():
        gaugan, biggan = generators.build("gaugan").eval(), generators.build("biggan").eval()
        nn.init.normal_(biggan.halfway.norm1.label.weight)
        turned = Batch(batch.images, batch.labels, batch.lights, batch.segments.flip(2))
        other = Batch(batch.images, (batch.labels + 1) % 4, batch.lights, batch.segments)
        assert not torch.allclose(gaugan(batch, batch, noise), gaugan(turned, turned, noise), atol=1e-4)
        assert not torch.allclose(biggan(batch, batch, noise), biggan(other, other, noise), atol=1e-4)
        progan = generators.build("progan").eval()
        assert torch.equal(progan(batch, batch, noise), progan(other, other, noise))


def test_blending_reaches_from_one_scene_to_the_other():
    noise = _noise(64)
    assert noise.blend.min() < 0.2 and noise.blend.max() > 0.99 and noise.blend.mean() > 0.5
    first, second = (generators.Latent(torch.full((64, 8, 8, 8), v), torch.full((64, 3, 16, 16), v),
                                       torch.full((64, 32), v)) for v in (1.0, 0.0))  # fmt: skip
    mixed = generators.mix(first, second, noise)
    assert torch.allclose(mixed.coarse[:, 0], noise.blend[:, 0]) and torch.equal(mixed.style, first.style)


@pytest.mark.parametrize("family", FAMILIES)
def test_shipped_generators_change_with_their_sources_and_with_noise(family, batch):
    model, _ = generators.load(generators.WEIGHTS / generators.SHIPPED[family]["test"][0])
    with torch.inference_mode():
        fakes = model(batch, batch[[4, 5, 6, 7, 0, 1, 2, 3]], _noise())
        again = model(batch, batch[[4, 5, 6, 7, 0, 1, 2, 3]], _noise())
    assert fakes.shape == batch.images.shape and fakes.abs().max() <= 1
    assert torch.equal(fakes, again)
    # no collapse: pictures differ from one another about as much as their sources do
    assert fakes.std(0).mean() > 0.4 * batch.images.std(0).mean()
    assert (fakes - batch.images).abs().mean() > 0.01


# --- training


@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_generator_and_critic(family, data):
    training = Adversarial(family, 0, TINY, data)
    before = [p.clone() for p in training.generator.parameters()]
    critic_before = [p.clone() for p in training.critics.parameters()]
    for _ in range(TINY.steps):
        losses = training.step()
        assert all(abs(value) < 1e3 for value in losses.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, training.generator.parameters(), strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    assert any(
        not torch.equal(a, b) for a, b in zip(critic_before, training.critics.parameters(), strict=True)
    )


@pytest.mark.slow
def test_the_critic_learns_to_tell_and_the_generator_answers(data):
    """With the generator held still the critic's hinge loss falls; then the generator lowers its own."""
    training = Adversarial("progan", 0, Settings(steps=60, batch=8, pictures=16, size=32, rate=1e-9), data)
    first = sum(training.step()["critic"] for _ in range(5)) / 5
    for _ in range(40):
        training.step()
    last = sum(training.step()["critic"] for _ in range(5)) / 5
    assert last < 0.8 * first
    training.critics.requires_grad_(False)
    optimizer = torch.optim.Adam(training.generator.parameters(), 2e-3)
    scores = []
    for _ in range(12):
        _, _, adversarial_loss = training._decode(torch.Generator().manual_seed(1))
        loss = adversarial_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scores.append(loss.item())
    assert scores[-1] < scores[0] - 0.2


@pytest.mark.slow
def test_an_interrupted_training_ends_where_an_unbroken_one_does(store, tmp_path):
    whole = train("biggan", 3, tmp_path / "whole.safetensors", TINY, store=store, progress=False)
    out = tmp_path / "broken.safetensors"
    with interrupted(3):
        train("biggan", 3, out, TINY, store=store, progress=False, checkpoint_every=1)
    assert not out.exists() and (tmp_path / "broken.safetensors.checkpoint").exists()
    train("biggan", 3, out, TINY, store=store, progress=False)
    assert not (tmp_path / "broken.safetensors.checkpoint").exists()
    first, second = generators.load(whole)[0].state_dict(), generators.load(out)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_broken_checkpoint_is_no_obstacle(store, tmp_path, capsys):
    out = tmp_path / "w.safetensors"
    (tmp_path / "w.safetensors.checkpoint").write_bytes(b"nothing")
    train("stargan", 0, out, TINY, snapshots=(2,), store=store, progress=False)
    assert "starting at step 0" in capsys.readouterr().out
    model, info = generators.load(out)
    assert info["steps"] == 3 and info["settings"]["batch"] == 4 and info["seed"] == 0
    assert generators.load(tmp_path / "w-2.safetensors")[1]["steps"] == 2
    assert isinstance(model, generators.StarGAN)


def test_a_broken_cache_of_scenes_is_drawn_again(store, data):
    path = next((store.root / "cache").glob("generator-scenes.*.npz"))
    path.write_bytes(path.read_bytes()[:1000])
    again = learning.pictures(16, 32, store, progress=False)
    assert torch.equal(again.images, data.images) and torch.equal(again.segments, data.segments)


def test_impossible_trainings_are_named(tmp_path):
    with pytest.raises(ValueError, match="unknown generator 'wgan'"):
        train("wgan", 0, tmp_path / "w", TINY)
    with pytest.raises(ValueError, match=r"at least 1 step .* found 0 steps"):
        Settings(steps=0)
    with pytest.raises(ValueError, match=r"multiple of 4 .* found batch 6"):
        Settings(batch=6)
    with pytest.raises(ValueError, match="snapshots lie between step 1 and 2"):
        train("progan", 0, tmp_path / "w", TINY, snapshots=(3,))


def test_a_training_that_diverges_says_so(data):
    training = Adversarial("progan", 0, TINY, data)
    with torch.no_grad():
        training.generator.rgb.bias.fill_(float("nan"))
    with pytest.raises(ArithmeticError, match=r"progan \(seed 0\) diverged at step 1"):
        training.step()
