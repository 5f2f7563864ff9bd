"""Can a generator learn to pass a patch classifier, and does it then leave no traces?

A trained generator is trained on, against its critics as before and against a patch classifier that stays as
it is: its fakes are to look real to every cell. Then the same classifier judges fakes of the same scenes from
before and after, and a new one of the same kind is trained on the fakes from after. Training alone changes
fakes as well; a control is trained on in the same way without the classifier.

The result follows from the generator's weights, the classifier's, the settings and the seed, and an
interrupted training ends in the same bits (same machine). Generators are trained on the CPU.

Source: Chai et al., ECCV 2020, section 4.4: artefacts remain detectable after such a training.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from tff_core import detectors
from tff_core.detectors.training import is_there
from tff_core.localization import evaluation, training, weights
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.miniature import camera, generators, learning
from tff_core.miniature.adversarial import Adversarial, Losses
from tff_core.miniature.inputs import Batch
from tff_core.miniature.learning import Settings
from tff_core.miniature.sample import digest as file_digest
from tff_core.miniature.sample import sample
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write, fingerprint, forget, provenance, write_json

FAKES = ("before", "control", "adapted")
_RECIPE = 1  # increased when a change to this module changes the resulting weights


def settings(steps: int, **changes: Any) -> Settings:
    """Settings for ``steps`` further steps of a trained generator: a lower rate, a shorter average."""
    return Settings(**{"steps": steps, "rate": 5e-4, "average": 0.99, **changes})


class Adaptive(Adversarial):
    """A trained generator against its critics and a patch classifier that does not change.

    To the generator's loss is added, ``weight`` times, the cross-entropy of the classifier's cells, where
    real is right. The history has the losses of every step, that of the ``classifier`` also where the weight
    is 0. ValueError for a family without adversarial training.
    """

    def __init__(
        self, start: Path, net: PatchClassifier, preparation: Preparation, weight: float, seed: int,
        settings: Settings, data: Batch,
    ) -> None:  # fmt: skip
        model, info = generators.load(start)
        family = str(info["family"])
        if family == "diffusion":
            raise ValueError(f"{start}: {family} is not trained against critics: expected another family")
        if not weight >= 0:
            raise ValueError(f"weight {weight} of the classifier: expected 0 or more")
        super().__init__(family, seed, settings, data)
        for own in (self.generator, self.averaged):
            own.load_state_dict(model.state_dict())
        self.net = copy.deepcopy(net).cpu().eval().requires_grad_(False)
        self.preparation, self.weight = preparation, weight
        self._fakes: list[Tensor] = []  # of this step, through which gradients reach the generator
        self._told = torch.zeros(())
        self._alone = self._objective
        self._objective = self._against
        self._key = identity(start, net, preparation, weight, seed, settings)

    def identity(self) -> str:
        """Hash of what determines the result."""
        return self._key

    def update(self, rng: torch.Generator) -> dict[str, Tensor]:
        """One step of the critics, then one of the generator."""
        losses = super().update(rng)
        return losses | {"classifier": self._told}

    def _against(self, rng: torch.Generator) -> Losses:
        critic, extra, adversarial = self._alone(rng)

        def both() -> Tensor:
            self._fakes.clear()
            loss = adversarial()
            fakes = torch.cat(self._fakes)
            with torch.set_grad_enabled(self.weight > 0):
                told = seeming(self.net, fakes, self.preparation)
            self._told = told.detach()
            return loss + self.weight * told

        return critic, extra, both

    def _scores(
        self, critic: torch.nn.Module, images: Tensor, batch: Batch
    ) -> tuple[list[Tensor], Tensor | None]:
        if images.requires_grad:  # not where the critic learns, which sees copies
            self._fakes.append(images)
        return super()._scores(critic, images, batch)


def identity(
    start: Path, net: PatchClassifier, preparation: Preparation, weight: float, seed: int, settings: Settings
) -> str:
    """Hash of what determines the result of a training."""
    return fingerprint(
        {
            "recipe": _RECIPE, "seed": seed, "settings": asdict(settings), "weight": weight,
            "drawing": camera.drawing(), "torch": torch.__version__.split("+")[0],
            "start": file_digest(start), "classifier": digest(net), "preparation": asdict(preparation),
        }
    )  # fmt: skip


def seeming(net: PatchClassifier, fakes: Tensor, preparation: Preparation) -> Tensor:
    """The cross-entropy of a classifier's cells on pictures (N, 3, H, W) in [-1, 1], were they real; ().

    ``preparation`` is the classifier's, which resizes nothing; gradients go through what it sees.
    """
    pixels = preparation.tested((fakes.float() + 1) / 2, net.whole)
    out = net(data.normalize(pixels, preparation.preprocessing))
    target = torch.full((len(out), *out.shape[2:]), net.real_class, device=out.device)
    return F.cross_entropy(out, target)


def digest(net: PatchClassifier) -> str:
    """A hash of the weights of a patch classifier, its name, and which logit stands for fakes."""
    state = {name: value.detach().contiguous().cpu() for name, value in net.state_dict().items()}
    about = f"{net.name}\0{net.fake_class}\0".encode()
    return hashlib.sha256(about + safetensors.torch.save(state)).hexdigest()


def adapt(
    start: str | Path,
    net: PatchClassifier,
    out: str | Path,
    chosen: Settings,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    weight: float = 1.0,
    seed: int = 0,
    store: Store | None = None,
    checkpoint_every: int = 50,
    progress: bool = True,
) -> Path:
    """Train the generator at ``start`` on against ``net``, and write its averaged weights to ``out``.

    ``chosen`` as from `settings`; ``preparation`` is the classifier's; ``weight`` 0 is the control. ``.json``
    beside ``out`` has the losses of every step (``critic``, ``generator``, ``rebuild``, ``classifier``) and
    provenance, and is written last. What is there is left alone; an interrupted training continues from
    ``<out>.checkpoint``.

    Raises FileNotFoundError or ValueError where the weights are missing or of no generator, or of one
    without critics; ValueError where the classifier resizes its pictures, through which this training does
    not go, or cannot judge pictures of this size; ArithmeticError where the training diverges; OSError where
    the disk is full.
    """
    start, out = Path(start), Path(out)
    if preparation.load is not None:
        raise ValueError(
            f"the classifier resizes pictures to {preparation.load} pixels: expected one of pictures as they "
            "are; train one without a resize"
        )
    if is_there(out, identity(start, net, preparation, weight, seed, chosen)):
        return out
    scenes = learning.pictures(chosen.pictures, chosen.size, store, progress, chosen.camera)
    run = Adaptive(start, net, preparation, weight, seed, chosen, scenes)
    seeming(run.net, scenes.images[:1], preparation)  # too small a picture is said before anything is trained
    checkpoint = out.with_name(out.name + ".checkpoint")
    if checkpoint.is_file() and not run.restore(checkpoint):
        print(f"{checkpoint} is of another training or broken: starting at step 0")
    title = f"{run.family} against {net.name}" if weight else f"{run.family}, control"
    with tqdm(total=chosen.steps, initial=run.done, desc=title, unit="step", disable=not progress) as bar:
        while run.done < chosen.steps:
            losses = run.step()
            run.history.append({"step": run.done, **losses})
            bar.set_postfix(classifier=f"{losses['classifier']:.2f}", refresh=False)
            bar.update()
            if run.done % checkpoint_every == 0 and run.done < chosen.steps:
                with atomic_write(checkpoint) as part:
                    torch.save(run.state(), part)
    about: dict[str, Any] = {
        "family": run.family, "seed": seed, "steps": run.done, "settings": asdict(chosen), "weight": weight,
        "start": start.name, "classifier": digest(net), "torch": torch.__version__,
        "precision": str(learning.precision()).removeprefix("torch."),
    }  # fmt: skip
    generators.save(run.averaged, out, about)
    info = {
        **about, "key": run.identity(), "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "history": run.history, "provenance": provenance(seed=seed, device="cpu"),
    }  # fmt: skip
    write_json(out.with_suffix(".json"), info)
    forget(checkpoint)
    return out


def experiment(
    start: str | Path,
    classifier: str | Path,
    folder: str | Path,
    chosen: Settings,
    *,
    n: tuple[int, int, int] = (200, 40, 100),
    weight: float = 1.0,
    control: bool = True,
    again: training.Config | None = None,
    seed: int = 0,
    store: Store | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """The paper's adaptive test of the classifier at ``classifier`` with the generator at ``start``.

    The generator should have learnt from scenes of ``chosen.camera``, which takes the reals (of the
    shipped ones that is edition 2's, "2"). Below ``folder``: the generator after ``chosen.steps`` steps
    against the classifier (`adapt`) and, if ``control``, after as many without it; pictures of each; and the
    classifier of the same kind, trained with ``again`` on the adapted generator's. ``n``: so many reals and
    fakes for its training and validation, and for each test. What is there is left alone, and what was
    interrupted continued.

    Columns: ``classifier`` ("frozen" or "retrained"), ``fakes`` (one of `FAKES`), ``ap, low, high`` (95 %
    bootstrap over pictures), ``n, auc, chance, told`` (see `evaluation.Evaluation.numbers`), and
    ``difference, difference_low, difference_high``: to the frozen classifier before. All tests have the same
    reals, and fakes of the same scenes, which pairs them.

    Raises as `adapt`, `sample` and `training.train`; WeightsError where the classifier's file is damaged.
    """
    folder, start, classifier = Path(folder), Path(start), Path(classifier)
    again = training.unresized(again)
    where = torch.device(device) if device is not None else detectors.default_device()
    net = weights.load(classifier)
    preparation = weights.preparation(classifier)
    generator = str(generators.load(start)[1]["family"])
    how: dict[str, Any] = {"seed": seed, "store": store, "progress": progress}
    made = {"before": start}
    if control:
        made["control"] = adapt(
            start, net, folder / "control.safetensors", chosen, preparation, weight=0.0, **how
        )
    made["adapted"] = adapt(
        start, net, folder / "adapted.safetensors", chosen, preparation, weight=weight, **how
    )

    def fakes(name: str, part: str, count: int) -> data.ImageSet:
        place = folder / name / part
        sample(
            part, generator, place, count, seed, chosen.size, progress, camera.CAMERAS[chosen.camera],
            [made[name]],
        )  # fmt: skip
        return data.scan(place)

    tests = {name: fakes(name, "test", n[2]) for name in made}
    path = folder / f"retrained.{net.name}.s{seed}.safetensors"
    images, held_out = (fakes("adapted", part, n[i]) for i, part in enumerate(("train", "val")))
    training.train(
        net.name, images, held_out, path, again, seed=seed, fake_class=net.fake_class, device=where,
        progress=progress,
    )  # fmt: skip

    def judge(one: PatchClassifier, prepared: Preparation, images: data.ImageSet) -> evaluation.Evaluation:
        return evaluation.evaluate(
            one.to(where), images, prepared, patches=False, device=where, batch_size=batch_size,
            progress=progress, seed=seed,
        )  # fmt: skip

    found = {("frozen", name): judge(net, preparation, images) for name, images in tests.items()}
    other, prepared = weights.load(path), weights.preparation(path)
    found |= {("retrained", name): judge(other, prepared, tests[name]) for name in ("before", "adapted")}
    rows = []
    for (which, name), one in found.items():
        apart = evaluation.difference(one, found["frozen", "before"], seed)
        rows.append(
            {
                "classifier": which, "fakes": name, **one.numbers(),
                **dict(zip(("difference", "difference_low", "difference_high"), apart, strict=True)),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
