"""The diffusion model: its noise levels, its sampler against exact answers, and that it learns."""

from __future__ import annotations

import pytest
import torch

from tff_core.miniature import diffusion
from tff_core.miniature.denoising import Denoising
from tff_core.miniature.diffusion import Diffusion
from tff_core.miniature.inputs import Batch, Noise
from tff_core.miniature.learning import Settings

pytestmark = pytest.mark.usefixtures("one_thread")


class Knows(Diffusion):
    """A model that knows the only picture there is."""

    def __init__(self, picture):
        super().__init__()
        self.picture = picture

    def velocity(self, noisy, time, labels):
        share, rest = diffusion.levels(time)
        noise = (noisy - share * self.picture) / rest
        return share * noise - rest * self.picture


def _flat(colours):
    """A batch of flat pictures: one class for each colour (r, g, b)."""
    images = torch.tensor(colours)[:, :, None, None].expand(-1, -1, 16, 16).contiguous()
    labels = torch.arange(len(colours))
    return Batch(images, labels, labels * 0, torch.zeros(len(colours), 16, 16, dtype=torch.long))


def test_levels_go_from_the_picture_to_noise_and_keep_the_variance():
    share, rest = diffusion.levels(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(share.flatten(), torch.tensor([1, 0.5**0.5, 0]), atol=1e-6)
    assert torch.allclose(share.square() + rest.square(), torch.ones(3, 1, 1, 1))


@pytest.mark.parametrize("evaluations", [1, 4, 15])
def test_a_model_that_knows_the_picture_samples_it_from_any_noise(evaluations):
    picture = torch.rand(1, 3, 16, 16) * 2 - 1
    made = Knows(picture).sample(torch.randn(3, 3, 16, 16), torch.zeros(3, dtype=torch.long), evaluations)
    assert torch.allclose(made, picture.expand(3, -1, -1, -1), atol=1e-5)


def test_a_model_that_knows_the_picture_has_no_loss():
    batch = _flat([[0.5, -0.2, 0.1]])[[0] * 8]
    rng = torch.Generator().manual_seed(0)
    assert diffusion.loss(Knows(batch.images[:1]), batch, rng) < 1e-6
    assert diffusion.loss(Knows(-batch.images[:1]), batch, rng) > 0.1


def test_the_first_noise_and_the_class_make_the_picture_and_scenes_do_not():
    torch.manual_seed(0)
    model = Diffusion().eval()
    torch.nn.init.normal_(model.label.weight, std=3)
    for block in (model.low1, model.low2, model.up_middle, model.up_high):
        torch.nn.init.normal_(block.conv2.weight, std=0.05)
    batch = _flat([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    noise = Noise.draw(2, 16, torch.Generator().manual_seed(1))
    with torch.inference_mode():
        made = model(batch, batch, noise)
        other = Batch(-batch.images, batch.labels, batch.lights, batch.segments)
        assert torch.equal(made, model(other, other, noise)) and made.abs().max() <= 1
        labelled = Batch(batch.images, batch.labels + 1, batch.lights, batch.segments)
        assert not torch.allclose(made, model(labelled, labelled, noise), atol=1e-3)
        again = Noise.draw(2, 16, torch.Generator().manual_seed(2))
        assert not torch.allclose(made, model(batch, batch, again), atol=1e-3)


def test_every_size_of_the_sampler_is_possible():
    noise = torch.randn(1, 3, 20, 20)
    assert Diffusion().sample(noise, torch.zeros(1, dtype=torch.long), 2).shape == noise.shape


def test_it_stays_small():
    assert sum(p.numel() for p in Diffusion().parameters()) < 1_500_000


@pytest.mark.slow
def test_it_learns_the_colour_of_every_class():
    """Four flat pictures, one a class: after some steps noise becomes the colour of the class."""
    colours = [[0.8, -0.6, -0.6], [-0.6, 0.8, -0.6], [-0.6, -0.6, 0.8], [0.7, 0.7, 0.7]]
    data = _flat(colours)
    settings = Settings(steps=40, batch=32, pictures=16, size=16, rate=2e-3, average=0.95)
    training = Denoising("diffusion", 0, settings, data)
    losses = [training.step()["noise"] for _ in range(settings.steps)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    with torch.inference_mode():
        noise = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        made = training.averaged.sample(noise, data.labels).mean((2, 3))
    distance = (made[:, None] - torch.tensor(colours)[None]).abs().amax(2)
    assert torch.equal(distance.argmin(1), torch.arange(4)) and distance.diag().max() < 0.4
