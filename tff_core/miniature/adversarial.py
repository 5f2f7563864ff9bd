"""Adversarial training of the miniature's generators: the code that made the shipped weights.

Hinge losses, a spectrally normalised patch critic that sees plain RGB, Adam. The adversarial loss is joined
by each family's reconstruction or cycle loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from tff_core.miniature import autoencoder, generators, scenes
from tff_core.miniature.generators import Latent
from tff_core.miniature.inputs import Batch, Noise
from tff_core.miniature.learning import Settings, Training, adam, mixed_precision

Losses = tuple[Tensor, Tensor, Callable[[], Tensor]]
"""Loss of the critic, that of the generator without the critic, and that with it, asked for later."""


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


def _critic_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    return sum(  # type: ignore[return-value]
        (F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in zip(real, fake, strict=True)),
        torch.zeros(()),
    )


def _generator_loss(fake: list[Tensor]) -> Tensor:
    return -sum((score.mean() for score in fake), torch.zeros(()))  # type: ignore[return-value]


class Adversarial(Training):
    """A generator against its critic; CycleGAN has one critic for each light."""

    parts = (*Training.parts, "critics", "critic_optimizer")

    def __init__(self, family: str, seed: int, settings: Settings, data: Batch) -> None:
        super().__init__(family, seed, settings, data)
        self.critics = nn.ModuleList(
            Critic(segments=family == "gaugan", classes=family == "biggan", lights=family == "stargan")
            for _ in range(2 if family == "cyclegan" else 1)
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic_optimizer = adam(self.critics, settings.critic_rate)
        self._evening = scenes.LIGHTS.index("evening")
        objectives: dict[str, Callable[[torch.Generator], Losses]] = {
            "cyclegan": self._cycle,
            "stargan": self._star,
            "autoencoder": self._rebuild,
        }
        self._objective = objectives.get(family, self._decode)

    def update(self, rng: torch.Generator) -> dict[str, Tensor]:
        """One step of the critic, then one of the generator."""
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
        return {"critic": critic_loss, "generator": loss, "rebuild": extra}

    def _scores(self, critic: nn.Module, images: Tensor, batch: Batch) -> tuple[list[Tensor], Tensor | None]:
        with mixed_precision():
            return critic(images, batch)  # type: ignore[no-any-return]

    def _compare(self, critic: nn.Module, fakes: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The critic's loss on reals and fakes, and its logits of the light of the reals.

        Both go through it in one pass, which is faster than two.
        """
        both = Batch.join([batch, batch])
        scores, lights = self._scores(critic, torch.cat([batch.images, fakes.detach()]), both)
        real, fake = zip(*(score.chunk(2) for score in scores), strict=True)
        return _critic_loss(real, fake), None if lights is None else lights[: len(batch)]

    def _decode(self, rng: torch.Generator) -> Losses:
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
        with mixed_precision():
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
        loss, _ = self._compare(critic, fakes, batch)
        return loss, extra, lambda: _generator_loss(self._scores(critic, fakes, batch)[0])

    def _cycle(self, rng: torch.Generator) -> Losses:
        """Half of the batch goes from day to evening and back, half from evening to day and back."""
        half = self.settings.batch // 2
        is_evening = self.data.lights == self._evening
        day = self.draw(rng, half, (~is_evening).nonzero()[:, 0])
        evening = self.draw(rng, half, is_evening.nonzero()[:, 0])
        model = self.generator
        assert isinstance(model, generators.CycleGAN)
        with mixed_precision():
            fake_evening, same_evening = model.to_evening(torch.cat([day.images, evening.images])).chunk(2)
            fake_day, same_day = model.to_day(torch.cat([evening.images, day.images])).chunk(2)
            back_day, back_evening = model.to_day(fake_evening), model.to_evening(fake_day)
        extra = (back_day.float() - day.images).abs().mean() + (
            back_evening.float() - evening.images
        ).abs().mean()
        # a picture already in the target light should stay: without this the nets may agree on negatives
        same = (same_day.float() - day.images).abs().mean()
        same = same + (same_evening.float() - evening.images).abs().mean()
        sides = ((0, day, fake_day.float()), (1, evening, fake_evening.float()))
        loss = torch.zeros(())
        for index, batch, fakes in sides:
            loss = loss + self._compare(self.critics[index], fakes, batch)[0]

        def adversarial() -> Tensor:
            return sum(  # type: ignore[return-value]
                (_generator_loss(self._scores(self.critics[i], fakes, b)[0]) for i, b, fakes in sides),
                torch.zeros(()),
            )

        extra = extra + self.settings.identity * same
        return loss, 0.5 * self.settings.reconstruction * extra, adversarial

    def _star(self, rng: torch.Generator) -> Losses:
        """To another light and back; the critic also names the light."""
        batch = self.draw(rng, self.settings.batch)
        turn = torch.randint(1, len(scenes.LIGHTS), (len(batch),), generator=rng)
        target = (batch.lights + turn) % len(scenes.LIGHTS)
        model = self.generator
        assert isinstance(model, generators.StarGAN)
        with mixed_precision():
            twice, lights = torch.cat([batch.images, batch.images]), torch.cat([target, batch.lights])
            fakes, same = model.translate(twice, lights).float().chunk(2)
            back = model.translate(fakes, batch.lights).float()
        extra = (back - batch.images).abs().mean() + self.settings.identity * (
            same - batch.images
        ).abs().mean()
        critic = self.critics[0]
        loss, named = self._compare(critic, fakes, batch)
        assert named is not None
        weight = self.settings.classification
        loss = loss + weight * F.cross_entropy(named, batch.lights)

        def adversarial() -> Tensor:
            scores, seen = self._scores(critic, fakes, batch)
            assert seen is not None
            return _generator_loss(scores) + weight * F.cross_entropy(seen, target)

        return loss, self.settings.reconstruction * extra, adversarial

    def _rebuild(self, rng: torch.Generator) -> Losses:
        """Through the latent and back; the critic compares the copies with their originals."""
        batch = self.draw(rng, self.settings.batch)
        model = self.generator
        assert isinstance(model, autoencoder.Autoencoder)
        with mixed_precision():
            latent = model.encode(batch.images)
            copies = model.decode(latent.sample(rng)).float()
        extra = self.settings.reconstruction * (copies - batch.images).abs().mean()
        extra = extra + autoencoder.DIVERGENCE * latent.divergence()
        critic = self.critics[0]
        loss, _ = self._compare(critic, copies, batch)
        return loss, extra, lambda: _generator_loss(self._scores(critic, copies, batch)[0])
