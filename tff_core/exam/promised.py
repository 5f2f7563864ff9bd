"""A detector's zone without a call for an error that is allowed, and what is known of that error.

The zone comes from validation pictures (`tff_core.conformal`): of other reals like these at most the allowed
share is called fake, and of fakes as many real. Beside the promise stands what was measured: on validation
pictures themselves, each called by a zone from others, and on the test pictures of a build, where there is
one: there the promise is about the family that the detector was trained on, and no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tff_core import conformal, detectors
from tff_core.detectors import judge
from tff_core.exam import calibration
from tff_core.pictures import data
from tff_core.store.results import Store

VALIDATION = "validation, each picture by a zone from others"


@dataclass(frozen=True)
class Promise:
    """The zone, and ``measured``: by where, what `calibration.kept` has found there."""

    zone: conformal.Zone
    source: str
    measured: dict[str, dict[str, dict[str, float]]]

    def rule(self, before: judge.Rule) -> judge.Rule:
        """A rule with this zone; its threshold is that of ``before``, or the end of the zone next to it."""
        low, high = self.zone.low, self.zone.high
        # at the lower end the call is real, so the threshold is above it
        least = float(np.nextafter(low, np.inf)) if low < high else low
        threshold = min(max(before.threshold, least), high)
        return judge.Rule(threshold, low, high, f"error of {self.zone.alpha:g} allowed, {self.source}")

    @property
    def facts(self) -> dict[str, Any]:
        """For a JSON answer."""
        return {
            "promised": self.zone.alpha,
            "of": "reals that are called fake, and fakes that are called real, like those of validation",
            "source": self.source, "n_real": self.zone.real.n, "n_fake": self.zone.fake.n,
            "measured": self.measured,
        }  # fmt: skip

    def told(self) -> str:
        """In words: what was promised, and what was measured where."""
        parts = [
            f"Promised: of reals, and of fakes, like the {self.zone.real.n} and {self.zone.fake.n} of "
            f"{self.source} at most {100 * self.zone.alpha:g} % are called wrong, on average over such sets."
        ]
        for where, found in self.measured.items():
            both = "; ".join(f"{name}s {_words(one)}" for name, one in found.items() if one["n"])
            parts.append(f"Measured on {where}: {both}.")
        if not self.measured:
            parts.append(
                "Nothing was measured: too few pictures, and no scores of test pictures in the build."
            )
        return " ".join(parts)


def _words(one: Mapping[str, float]) -> str:
    return (
        f"wrong {100 * one['wrong']:.1f} % [{100 * one['low']:.1f}, {100 * one['high']:.1f}], "
        f"no call {100 * one['no_call']:.0f} % (n = {one['n']:.0f})"
    )


def of(
    detector: detectors.Detector,
    store: Store,
    alpha: float,
    images: data.ImageSet | None = None,
    *,
    seed: int | None = 0,
    device: str | torch.device = "cpu",
    batch_size: int = 64,
) -> Promise:
    """The promise for a detector, and what is known of it.

    ``images``: labelled pictures to calibrate on, other ones than those that are judged; None: the validation
    pictures of the build ``store``. ``seed``: the detector's training seed, by which its scores of test
    pictures are found; None: it is none of the build's.

    FileNotFoundError where there are no validation pictures, ValueError as `conformal.zone`.
    """
    spec = detector.spec
    if images is None:
        folder = store.data(spec.dataset, "val", calibration.TRAINED_ON)
        if seed is None or not folder.is_dir():
            told = "" if seed is None else f" ({folder} is not there)"
            raise FileNotFoundError(
                f"no validation pictures of {spec.name}{told}: expected reals and fakes to calibrate an "
                "error on; name a folder with --calibrate DIR"
            )
        images, source = data.scan(folder), f"validation pictures of {calibration.TRAINED_ON}"
    else:
        source = f"the pictures in {images.root}"
    batches = data.batches(images, batch_size, device=device, preprocessing=spec.preprocessing)
    labels, logits = np.array(images.labels), detectors.logits(detector.model, batches)
    zone = conformal.zone(labels, logits, alpha)
    measured = {}
    with contextlib.suppress(ValueError):  # enough for a zone, but not for one from four fifths of them
        measured[VALIDATION] = calibration.kept(labels, calibration.held_out(labels, logits, alpha))
    if seed is not None:
        tests = calibration.grouped(calibration.tested(store, spec.name, [seed]), calibration.TRAINED_ON)
        for group, one in tests.items():
            words = (
                f"test pictures of {'the family' if group == calibration.SEEN else 'families not'} trained on"
            )
            measured[words] = calibration.kept(one.labels, zone.calls(one.logits[0]))
    return Promise(zone, source, measured)
