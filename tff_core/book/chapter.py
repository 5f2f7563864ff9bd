"""What every chapter starts from: one detector, the pictures it is asked about, and its results on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import torch

from tff_core import detectors, lrp
from tff_core.features import ffrs, names
from tff_core.features.names import FeatureMap
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write, read_json

TRAINED_ON = "progan"
"""The generator whose pictures every detector was trained and validated on."""


class Chapter:
    """One detector, some generators, and where their pictures, weights and results are.

    Parameters
    ----------
    detector: name in the registry, or of a detector that was added to this build.
    generators: whose test pictures the chapter looks at.
    seeds: training seeds of the detector; the first is used for single examples.
    k: how many feature maps count as top; None takes the number for the detector's network.
    device: "auto" takes the accelerator if there is one, else the CPU.
    build: the build folder; "" finds it, see `Store`.

    Attributes ``store``, ``spec``, ``device``, ``generators``, ``seeds``, ``seed`` (the first) and ``k``.
    Networks and rankings are read on first use, and then kept. Raises ValueError if no detector has that
    name.

    Example
    -------
    >>> chapter = Chapter("resnet50-miniature", ["progan", "gaugan"], seeds=[0, 1])  # doctest: +SKIP
    >>> net, omega = chapter.net(), chapter.omega()  # doctest: +SKIP
    >>> fakes = chapter.test("gaugan", label=1, first=8)  # doctest: +SKIP
    """

    def __init__(
        self,
        detector: str,
        generators: Sequence[str] = (),
        seeds: Sequence[int] = (0,),
        *,
        k: int | None = None,
        device: str | torch.device = "auto",
        build: str = "",
    ) -> None:
        self.store = Store(build or None)
        self.detector = detector
        self.spec = detectors.get(detector, self.store)
        self.generators, self.seeds = list(generators), list(seeds)
        if not self.seeds:
            raise ValueError(
                f"a chapter about {detector} needs a training seed: expected one or more in `seeds`"
            )
        self.seed = self.seeds[0]
        self.device = detectors.default_device() if device == "auto" else torch.device(device)
        self._k = k
        self._trained: dict[int, detectors.Detector] = {}
        self._nets: dict[int, lrp.Net] = {}
        self._omegas: dict[tuple[int, str], ffrs.Omega] = {}

    @property
    def k(self) -> int:
        """How many feature maps count as top."""
        return self._k or self.spec.k

    # ---------------------------------------------------------------------------------------- pictures

    def test(self, generator: str, label: int | None = None, first: int | None = None) -> data.ImageSet:
        """Test pictures of one generator: of one label if given, the ``first`` of each label."""
        return self._pictures("test", generator, label, first)

    def validation(self, label: int | None = None, first: int | None = None) -> data.ImageSet:
        """Validation pictures of the generator that the detector was trained on; as `test`."""
        return self._pictures("val", TRAINED_ON, label, first)

    def _pictures(self, part: str, generator: str, label: int | None, first: int | None) -> data.ImageSet:
        folder = self.store.data(self.spec.dataset, part, generator)
        return data.scan(folder).where(label=label, first=first)

    def batches(
        self, images: data.ImageSet, size: int = 50, transform: data.Transform | None = None
    ) -> data.Batches:
        """Batches (x, y, index) as the detector needs them: cropped, normalised, on its device."""
        return data.batches(
            images, size, device=self.device, transform=transform, preprocessing=self.spec.preprocessing
        )

    def load(self, images: data.ImageSet, *, middle: bool = False) -> torch.Tensor:
        """Pixels (N, 3, H, W), uint8, cropped as the detector sees them; see `data.load` for ``middle``."""
        return data.load(images, self.spec.preprocessing, middle=middle)

    # ----------------------------------------------------------------------------------------- networks

    def trained(self, seed: int | None = None) -> detectors.Detector:
        """The detector as trained; with the first seed if none is given."""
        seed = self.seed if seed is None else seed
        if seed not in self._trained:
            self._trained[seed] = detectors.load(self.detector, seed, self.store, self.device)
        return self._trained[seed]

    def net(self, seed: int | None = None) -> lrp.Net:
        """The same function with its batch normalisations folded, ready for relevance propagation."""
        seed = self.seed if seed is None else seed
        if seed not in self._nets:
            kept = self._trained.get(seed)  # most chapters need only one of the two: the other is not kept
            trained = kept or detectors.load(self.detector, seed, self.store, self.device)
            self._nets[seed] = lrp.canonize(trained.model, bounds=self.spec.preprocessing.bounds)
        return self._nets[seed]

    def omega(self, seed: int | None = None, label: ffrs.Label = "fake") -> ffrs.Omega:
        """FF-RS omega of one seed, as the pipeline computed it on validation pictures."""
        seed = self.seed if seed is None else seed
        if (seed, label) not in self._omegas:
            path = self.store.omega(self.detector, seed, label)
            self._omegas[seed, label] = ffrs.Omega.from_csv(path, self.net(seed))
        return self._omegas[seed, label]

    # ------------------------------------------------------------------------------------------ results

    def info(self, seed: int | None = None) -> dict[str, Any]:
        """What was recorded with the weights: training, threshold, validation."""
        seed = self.seed if seed is None else seed
        found: dict[str, Any] = read_json(self.store.detector(self.detector, seed).with_suffix(".json"))
        return found

    def scores(self, generator: str) -> pd.DataFrame:
        """Logit of every test picture of a generator under every condition, of the chapter's seeds."""
        rows = pd.read_csv(self.store.scores(self.detector, generator))
        return rows[rows["seed"].isin(self.seeds)]

    def save(self, table: str, rows: pd.DataFrame) -> None:
        """Write the rows of each generator to its part of a result table, completely or not at all.

        Raises ValueError if rows belong to a generator that is not one of the chapter's.
        """
        unknown = sorted(set(rows["generator"]) - set(self.generators))
        if unknown:
            raise ValueError(
                f"rows of the table {table} are of {', '.join(unknown)}: expected only "
                f"{', '.join(self.generators)}, the generators of this chapter"
            )
        for generator in self.generators:
            self.save_part(table, generator, rows[rows["generator"] == generator])

    def save_part(self, table: str, name: str, rows: pd.DataFrame) -> None:
        """Write one part of a result table, completely or not at all; ``name`` is a generator, or "all"."""
        with atomic_write(self.store.part(table, self.detector, name)) as part:
            rows.to_csv(part, index=False)


def save(store: Store, table: str, rows: pd.DataFrame) -> None:
    """Write a result table that no other chapter adds to, completely or not at all."""
    with atomic_write(store.table(table)) as part:
        rows.to_csv(part, index=False)


def places(who: str, maps: Iterable[FeatureMap]) -> str:
    """``who`` and the maps' names, which lead to their places in the atlas; empty where there are no maps.

    The maps are of the page's own detector and its first seed, as the atlas beside it is.
    """
    links = list(map(names.link, maps))
    return f"{who}: {', '.join(links)}." if links else ""


def say(*blocks: str) -> None:
    """Display Markdown: paragraphs, tables or admonitions; empty ones are left out. For notebooks."""
    from IPython.display import Markdown, display

    told = [block for block in blocks if block]
    if told:
        display(Markdown("\n\n".join(told)))
