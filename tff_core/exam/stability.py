"""How much an explanation changes when the picture hardly does: max-sensitivity.

Source: Yeh, Hsieh, Suggala, Inouye and Ravikumar, On the (in)fidelity and sensitivity of explanations (2019).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core.exam import flipping
from tff_core.exam.methods import Explain


def max_sensitivity(
    explain: Explain, x: Tensor, relevance: Tensor, radius: float, samples: int = 4, seed: int = 0
) -> NDArray[np.float64]:
    """The largest relative change of the relevance of each picture, (N,), among ``samples`` noisy copies.

    The noise is uniform in ±``radius``, in units of normalised pixels; ``relevance`` (N, H, W) is what
    ``explain`` says of ``x`` (N, C, H, W). The change is the distance of the two maps over the length of the
    first (both Euclidean). Of an empty map that stays empty it is 0; of one that does not it is missing, as
    there is no length to compare with.

    Raises ValueError where relevance is not finite, or no copy is asked for.
    """
    if samples < 1 or not radius > 0:
        raise ValueError(f"{samples} copies with noise of {radius:g}: expected one or more, and some noise")
    own = flipping.checked(relevance, x).double().flatten(1)
    length = torch.linalg.vector_norm(own, dim=1)
    worst = torch.zeros_like(length)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        # one noise for all pictures: none depends on the others
        noise = (2 * torch.rand(x.shape[1:], generator=rng, dtype=torch.float64) - 1) * radius
        noisy = x + noise.to(x)
        found = flipping.checked(explain(noisy), x).double().flatten(1)
        change = torch.linalg.vector_norm(found - own, dim=1)
        worst = torch.maximum(worst, torch.where(change > 0, change / length, torch.zeros_like(change)))
    values: NDArray[np.float64] = worst.cpu().numpy()
    return np.where(np.isinf(values), np.nan, values)
