"""Adversarial training of the miniature's generators: the code that made the shipped weights.

Hinge losses, a spectrally normalised patch critic that sees plain RGB, Adam, an exponential moving average of
the generator's weights. The adversarial loss is joined by each family's reconstruction or cycle loss. The
budget is counted in steps, every step draws its randomness from (seed, step), and a training resumed from a
checkpoint gives the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from tqdm.auto import tqdm

from tff_core.miniature import camera, generators, scenes
from tff_core.miniature.generators import Batch, Latent, Noise
from tff_core.store.results import Store, atomic_write, fingerprint


@dataclass(frozen=True)
class Settings:
    """What determines a training, besides family and seed."""

    steps: int = 1000
    batch: int = 16
    pictures: int = 3200
    size: int = 64
    rate: float = 2e-3  # of the generator, falling to a tenth along a half cosine
    critic_rate: float = 1e-3
    reconstruction: float = 10.0  # weight of the L1 reconstruction or cycle loss
    identity: float = (
        0.5  # weight, relative to the cycle loss, of leaving alone what is already in the target light
    )
    classification: float = 1.0  # weight of StarGAN's loss on the light
    average: float = 0.995  # decay of the moving average of the weights

    def __post_init__(self) -> None:
        if self.steps < 1 or self.pictures < 4 * len(scenes.CLASSES) or self.pictures % len(scenes.CLASSES):
            raise ValueError(
                f"training needs at least 1 step and a multiple of {len(scenes.CLASSES)} pictures, at least "
                f"{4 * len(scenes.CLASSES)}: found {self.steps} steps and {self.pictures} pictures"
            )
        if self.batch < 4 or self.batch % 4 or self.size < 16 or self.size % 8:
            raise ValueError(
                f"training needs a batch of a multiple of 4 and a size of a multiple of 8, at least 16: "
                f"found batch {self.batch} and size {self.size}"
            )


class Critic(nn.Module):
    """Real or fake, patch by patch: a trunk at an eighth of the field, and a head for the finest texture.

    ``segments`` adds the segmentation map to the input (GauGAN), ``classes`` a projection on the class
    (BigGAN), ``lights`` a classifier of the light (StarGAN).
    """

    def __init__(self, segments: bool = False, classes: bool = False, lights: bool = False) -> None:
        super().__init__()
        channels = 3 + (len(scenes.SEGMENTS) if segments else 0)
        self.segments = segments
        self.trunk = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, kernel, stride, 1))
            for a, b, kernel, stride in ((channels, 32, 4, 2), (32, 64, 4, 2), (64, 64, 3, 1))
        )
        self.head = spectral_norm(nn.Conv2d(64, 1, 1))
        self.texture = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 3, stride, 1)) for a, b, stride in ((channels, 16, 1), (16, 32, 2))
        )
        self.texture_head = spectral_norm(nn.Conv2d(32, 1, 1))
        self.project = nn.Embedding(len(scenes.CLASSES), 64) if classes else None
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=0.1)
        self.light = nn.Linear(64, len(scenes.LIGHTS)) if lights else None

    def forward(self, images: Tensor, batch: Batch) -> tuple[list[Tensor], Tensor | None]:
        """Score maps (positive is real), and logits of the light where the critic classifies it."""
        x = images
        if self.segments:
            planes = F.one_hot(batch.segments, len(scenes.SEGMENTS)).permute(0, 3, 1, 2).to(x.dtype)
            x = torch.cat([x, planes], 1)
        fine, deep = x, x
        for layer in self.trunk:
            deep = F.leaky_relu(layer(deep), 0.2)
        for layer in self.texture:
            fine = F.leaky_relu(layer(fine), 0.2)
        pooled = deep.mean((2, 3)).float()
        score = self.head(deep).float()
        if self.project is not None:
            score = score + (self.project(batch.labels) * pooled).sum(1)[:, None, None, None]
        scores = [score, self.texture_head(fine).float()]
        return scores, (self.light(pooled) if self.light is not None else None)


def _critic_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    return sum(  # type: ignore[return-value]
        (F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in zip(real, fake, strict=True)),
        torch.zeros(()),
    )


def _generator_loss(fake: list[Tensor]) -> Tensor:
    return -sum((score.mean() for score in fake), torch.zeros(()))  # type: ignore[return-value]


def pictures(count: int, size: int, store: Store | None = None, progress: bool = True) -> Batch:
    """The scenes every generator is trained on: ``count`` in all, classes in turn; kept below the store."""
    key = fingerprint({"count": count, "size": size, "drawing": camera.drawing()})
    path = (store or Store()).root / "cache" / f"generator-scenes.{key}.npz"
    names = ("pixels", "segments", "labels", "lights")
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                pixels, segments, labels, lights = (file[name] for name in names)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            path.unlink()  # a cache: drawn again below
    if not path.is_file():
        drawn = [
            camera.take("generators", scenes.CLASSES[i % 4], i // 4, size=size)
            for i in tqdm(range(count), desc="scenes for the generators", disable=not progress)
        ]
        pixels, segments = np.stack([p.pixels for p in drawn]), np.stack([p.segments for p in drawn])
        labels = np.array([scenes.CLASSES.index(p.label) for p in drawn])
        lights = np.array([scenes.LIGHTS.index(p.light) for p in drawn])
        with atomic_write(path) as part:
            np.savez(part, pixels=pixels, segments=segments, labels=labels, lights=lights)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return Batch(
        images.contiguous(),
        torch.from_numpy(labels),
        torch.from_numpy(lights),
        torch.from_numpy(segments).long(),
    )


class Training:
    """The state of one training; ``step()`` advances it."""

    def __init__(self, family: str, seed: int, settings: Settings, data: Batch) -> None:
        torch.manual_seed(seed)
        self.family, self.seed, self.settings, self.data = family, seed, settings, data
        self.generator = generators.build(family).train()
        self.averaged = generators.build(family).requires_grad_(False)
        self.averaged.load_state_dict(self.generator.state_dict())
        self.critics = nn.ModuleList(
            Critic(segments=family == "gaugan", classes=family == "biggan", lights=family == "stargan")
            for _ in range(2 if family == "cyclegan" else 1)
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.generator.parameters(), settings.rate, betas=(0.5, 0.99))
        self.critic_optimizer = torch.optim.Adam(
            self.critics.parameters(), settings.critic_rate, betas=(0.5, 0.99)
        )
        self.done = 0
        self._evening = scenes.LIGHTS.index("evening")
        objectives: dict[str, Callable[[torch.Generator], tuple[Tensor, Tensor, Callable[[], Tensor]]]] = {
            "cyclegan": self._cycle,
            "stargan": self._star,
        }
        self._objective = objectives.get(family, self._decode)

    def step(self) -> dict[str, float]:
        """One step of critic and generator; the losses. ArithmeticError where a loss is not finite."""
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + self.done)
        settings = self.settings
        for group in self.optimizer.param_groups + self.critic_optimizer.param_groups:
            group.setdefault("start", group["lr"])
            group["lr"] = group["start"] * (0.55 + 0.45 * math.cos(math.pi * self.done / settings.steps))
        critic_loss, extra, adversarial = self._objective(rng)
        self.critic_optimizer.zero_grad(set_to_none=True)
        critic_loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimizer.step()
        self.critics.requires_grad_(False)
        loss = adversarial() + extra
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.critics.requires_grad_(True)
        self._average()
        self.done += 1
        losses = {"critic": critic_loss.item(), "generator": loss.item(), "rebuild": extra.item()}
        if not all(math.isfinite(value) for value in losses.values()):
            raise ArithmeticError(
                f"training of {self.family} (seed {self.seed}) diverged at step {self.done}: "
                f"losses {losses}; lower the rate or choose another seed"
            )
        return losses

    def _average(self) -> None:
        decay = min(self.settings.average, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            current = self.generator.state_dict()
            for name, value in self.averaged.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(current[name], 1 - decay)
                else:
                    value.copy_(current[name])

    def _draw(self, rng: torch.Generator, among: Tensor, count: int) -> Batch:
        chosen = among[torch.randint(len(among), (count,), generator=rng)]
        return self.data[chosen]

    def _scores(self, critic: nn.Module, images: Tensor, batch: Batch) -> tuple[list[Tensor], Tensor | None]:
        with torch.autocast("cpu", torch.bfloat16):
            return critic(images, batch)  # type: ignore[no-any-return]

    def _decode(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Callable[[], Tensor]]:
        """Half of the latents are blended with a scene of the same class, the others reconstructed."""
        size, count = self.settings.size, self.settings.batch
        labels = torch.randint(len(scenes.CLASSES), (count // 4,), generator=rng).repeat_interleave(4)
        per_class = len(self.data) // len(scenes.CLASSES)
        # classes lie in turn in the data: picture i has class i % 4
        chosen = labels + 4 * torch.randint(per_class, (count,), generator=rng)
        batch = self.data[chosen]
        noise = Noise.draw(count, size, rng)
        model = self.generator
        assert isinstance(model, generators.Decoding)
        with torch.autocast("cpu", torch.bfloat16):
            own = model.encoder(batch.images)
            rebuilt = torch.arange(count) % 2 == 0
            if self.family == "gaugan":  # its map fits one scene only
                mixed = own
            else:
                # rolled within each group of four of one class
                group = torch.arange(count).view(-1, 4).roll(1, 1).flatten()
                partner = Latent(*(tensor[group] for tensor in own))
                blended = generators.mix(own, partner, noise)
                mixed = Latent(
                    *(
                        torch.where(rebuilt.view(-1, *[1] * (a.dim() - 1)), a, b)
                        for a, b in zip(own, blended, strict=True)
                    )
                )
            fakes = model.decode(generators.jitter(mixed, noise), batch).float()
        extra = self.settings.reconstruction * (fakes[rebuilt] - batch.images[rebuilt]).abs().mean()
        critic = self.critics[0]
        real, _ = self._scores(critic, batch.images, batch)
        fake, _ = self._scores(critic, fakes.detach(), batch)
        return _critic_loss(real, fake), extra, lambda: _generator_loss(self._scores(critic, fakes, batch)[0])

    def _cycle(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Callable[[], Tensor]]:
        """Half of the batch goes from day to evening and back, half from evening to day and back."""
        half = self.settings.batch // 2
        is_evening = self.data.lights == self._evening
        day = self._draw(rng, (~is_evening).nonzero()[:, 0], half)
        evening = self._draw(rng, is_evening.nonzero()[:, 0], half)
        model = self.generator
        assert isinstance(model, generators.CycleGAN)
        with torch.autocast("cpu", torch.bfloat16):
            fake_evening, fake_day = model.to_evening(day.images), model.to_day(evening.images)
            back_day, back_evening = model.to_day(fake_evening), model.to_evening(fake_day)
            same_day, same_evening = model.to_day(day.images), model.to_evening(evening.images)
        extra = (back_day.float() - day.images).abs().mean() + (
            back_evening.float() - evening.images
        ).abs().mean()
        # a picture already in the target light should stay: without this the nets may agree on negatives
        same = (same_day.float() - day.images).abs().mean()
        same = same + (same_evening.float() - evening.images).abs().mean()
        sides = ((0, day, fake_day.float()), (1, evening, fake_evening.float()))
        loss = torch.zeros(())
        for index, batch, fakes in sides:
            real, _ = self._scores(self.critics[index], batch.images, batch)
            fake, _ = self._scores(self.critics[index], fakes.detach(), batch)
            loss = loss + _critic_loss(real, fake)

        def adversarial() -> Tensor:
            return sum(  # type: ignore[return-value]
                (_generator_loss(self._scores(self.critics[i], fakes, b)[0]) for i, b, fakes in sides),
                torch.zeros(()),
            )

        extra = extra + self.settings.identity * same
        return loss, 0.5 * self.settings.reconstruction * extra, adversarial

    def _star(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Callable[[], Tensor]]:
        """To another light and back; the critic also names the light."""
        batch = self._draw(rng, torch.arange(len(self.data)), self.settings.batch)
        turn = torch.randint(1, len(scenes.LIGHTS), (len(batch),), generator=rng)
        target = (batch.lights + turn) % len(scenes.LIGHTS)
        model = self.generator
        assert isinstance(model, generators.StarGAN)
        with torch.autocast("cpu", torch.bfloat16):
            fakes = model.translate(batch.images, target)
            back = model.translate(fakes, batch.lights).float()
            same = model.translate(batch.images, batch.lights).float()
        fakes = fakes.float()
        extra = (back - batch.images).abs().mean() + self.settings.identity * (
            same - batch.images
        ).abs().mean()
        critic = self.critics[0]
        real, lights = self._scores(critic, batch.images, batch)
        fake, _ = self._scores(critic, fakes.detach(), batch)
        assert lights is not None
        weight = self.settings.classification
        loss = _critic_loss(real, fake) + weight * F.cross_entropy(lights, batch.lights)

        def adversarial() -> Tensor:
            scores, seen = self._scores(critic, fakes, batch)
            assert seen is not None
            return _generator_loss(scores) + weight * F.cross_entropy(seen, target)

        return loss, self.settings.reconstruction * extra, adversarial

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "identity": self.identity(),
            "done": self.done,
            "generator": self.generator.state_dict(),
            "averaged": self.averaged.state_dict(),
            "critics": self.critics.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def identity(self) -> str:
        """Hash of what determines the result."""
        return fingerprint({"family": self.family, "seed": self.seed, "drawing": camera.drawing(),
                            **asdict(self.settings)})  # fmt: skip

    def restore(self, path: Path) -> bool:
        """Continue from a checkpoint; False if it belongs to another training or cannot be read."""
        try:
            state = torch.load(path, weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
            return False
        if state.get("identity") != self.identity():
            return False
        for name in ("generator", "averaged", "critics", "optimizer", "critic_optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.done = state["done"]
        return True


def train(family: str, seed: int, out: str | Path, settings: Settings | None = None, *,
          snapshots: tuple[int, ...] = (), store: Store | None = None, progress: bool = True,
          checkpoint_every: int = 200) -> Path:  # fmt: skip
    """Train a generator and write its averaged weights to ``out``; a snapshot after N steps to ``out`` with
    ``-N`` before the suffix. An interrupted training continues from ``<out>.checkpoint``.

    Raises ValueError for an unknown family or impossible settings, ArithmeticError where training diverges.
    """
    settings, out = settings or Settings(), Path(out)
    if family not in generators.FAMILIES:
        raise ValueError(f"unknown generator {family!r}: expected one of {', '.join(generators.FAMILIES)}")
    if any(not 0 < at < settings.steps for at in snapshots):
        raise ValueError(f"snapshots lie between step 1 and {settings.steps - 1}: found {snapshots}")
    data = pictures(settings.pictures, settings.size, store, progress)
    training = Training(family, seed, settings, data)
    checkpoint = out.with_name(out.name + ".checkpoint")
    if checkpoint.is_file() and not training.restore(checkpoint):
        print(f"{checkpoint} is of another training or broken: starting at step 0")
    command = f"python -m tff_core.miniature train-generator {family} --seed {seed} --steps {settings.steps}"
    if snapshots:
        command += " --snapshots " + " ".join(map(str, snapshots))

    def write(path: Path) -> None:
        info = {"family": family, "seed": seed, "steps": training.done, "command": command,
                "settings": asdict(settings), "torch": torch.__version__}  # fmt: skip
        generators.save(training.averaged, path, info)

    with tqdm(total=settings.steps, initial=training.done, desc=f"{family} seed {seed}",
              disable=not progress) as bar:  # fmt: skip
        while training.done < settings.steps:
            losses = training.step()
            bar.update()
            if training.done % 20 == 0:
                bar.set_postfix({key: f"{value:.2f}" for key, value in losses.items()})
            if training.done in snapshots:
                write(out.with_name(f"{out.stem}-{training.done}{out.suffix}"))
            if training.done % checkpoint_every == 0 and training.done < settings.steps:
                with atomic_write(checkpoint) as part:
                    torch.save(training.state(), part)
    write(out)
    checkpoint.unlink(missing_ok=True)
    return out
