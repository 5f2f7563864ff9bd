"""The latent autoencoder: its latent distribution, its bottleneck, and that it learns to rebuild."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tff_core.miniature import autoencoder, learning
from tff_core.miniature.adversarial import Adversarial
from tff_core.miniature.autoencoder import Autoencoder, Gaussian
from tff_core.miniature.inputs import Batch, Noise
from tff_core.miniature.learning import Settings
from tff_core.store.results import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_divergence_is_that_of_torch():
    torch.manual_seed(0)
    latent = Gaussian(torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3))
    expected = kl_divergence(Normal(latent.mean, (0.5 * latent.log_variance).exp()), Normal(0.0, 1.0)).mean()
    assert torch.allclose(latent.divergence(), expected, atol=1e-6)
    assert Gaussian(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)).divergence() == 0


def test_samples_have_the_mean_and_the_deviation():
    latent = Gaussian(torch.full((1, 4, 100, 100), 2.0), torch.full((1, 4, 100, 100), 0.25).log())
    drawn = latent.sample(torch.Generator().manual_seed(0))
    assert drawn.mean() == pytest.approx(2, abs=0.02) and drawn.std() == pytest.approx(0.5, abs=0.02)


def test_every_picture_passes_a_latent_of_a_twelfth_of_its_numbers():
    latent = Autoencoder().encode(torch.rand(2, 3, 32, 32))
    assert latent.mean.shape == latent.log_variance.shape == (2, autoencoder.LATENT, 8, 8)
    assert latent.mean[0].numel() * 12 == 3 * 32 * 32


@pytest.mark.slow
def test_it_learns_to_rebuild_its_scenes(tmp_path):
    data = learning.pictures(16, 32, Store(tmp_path), progress=False)
    training = Adversarial("autoencoder", 0, Settings(steps=40, batch=8, pictures=16, size=32), data)
    losses = [training.step()["rebuild"] for _ in range(40)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    model = training.averaged
    noise = Noise.draw(16, 32, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        copies = model(data, data, noise)
        assert torch.equal(copies, model(data, Batch.join([data[8:], data[:8]]), noise))
    # copies resemble their own scene more than the others
    distance = (copies[:, None] - data.images[None]).abs().mean((2, 3, 4))
    assert distance.diag().mean() < 0.75 * distance.mean()
    assert (distance.argmin(1) == torch.arange(16)).float().mean() > 0.3  # by chance 1 in 16
