"""Training of the diffusion model."""

from __future__ import annotations

import torch
from torch import Tensor

from tff_core.miniature import diffusion
from tff_core.miniature.learning import Training, mixed_precision


class Denoising(Training):
    """A diffusion model learns to tell noise from picture; there is no critic."""

    momentum = 0.9

    def update(self, rng: torch.Generator) -> dict[str, Tensor]:
        """One step on a batch of scenes, each at a noise level of its own."""
        model = self.generator
        assert isinstance(model, diffusion.Diffusion)
        batch = self.draw(rng, self.settings.batch)
        with mixed_precision():
            loss = diffusion.loss(model, batch, rng)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"noise": loss}
