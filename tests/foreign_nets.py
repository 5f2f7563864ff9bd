"""Networks as detectors from elsewhere have them: functions for ``--arch tests.foreign_nets:name``."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn


class Separable(nn.Module):
    """Depthwise, then pointwise, nothing between the two."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class Block(nn.Module):
    """ReLU, separable convolution, norm, several times; the sum with the skip is not activated."""

    def __init__(
        self, channels: int, out: int, repeats: int, stride: int, relu_first: bool, grow_first: bool = True
    ) -> None:
        super().__init__()
        widths = [channels] + ([out] if grow_first else [channels]) * (repeats - 1) + [out]
        layers: list[nn.Module] = []
        for i in range(repeats):
            if i or relu_first:
                layers.append(nn.ReLU(inplace=bool(i)))  # the first would write over the skip
            layers += [Separable(widths[i], widths[i + 1]), nn.BatchNorm2d(widths[i + 1])]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
        self.rep = nn.Sequential(*layers)
        self.skip = nn.Conv2d(channels, out, 1, stride, bias=False) if stride > 1 else None
        self.skipbn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.rep(x)
        y += x if self.skip is None else self.skipbn(self.skip(x))
        return y


Pool = Callable[[Tensor], Tensor]
POOLS: dict[str, Pool] = {
    "avg_pool2d": lambda x: F.avg_pool2d(x, x.size()[2:]).view(x.size(0), -1),
    "avg_pool2d_number": lambda x: F.avg_pool2d(x, kernel_size=x.shape[-1]).squeeze(3).squeeze(2),
    "mean_of_view": lambda x: torch.mean(x.view(x.size(0), x.size(1), -1), 2),
    "mean_of_sizes": lambda x: torch.mean(x.view(*x.shape[:2], -1), dim=2),
    "mean_of_flatten": lambda x: x.flatten(2).mean(-1),
    "mean_twice": lambda x: x.mean(-1).mean(-1),
    "sum_by_area": lambda x: x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3]),
    "adaptive": lambda x: torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), start_dim=1),
    "module_made_on_the_way": lambda x: nn.Flatten()(nn.AvgPool2d(x.shape[2:])(x)),
}


class Xception(nn.Module):
    """Xception (Chollet 2017) of narrower maps, with global pooling in one of many spellings."""

    def __init__(self, num_classes: int = 1, width: int = 8, pool: str = "avg_pool2d") -> None:
        super().__init__()
        a, b, c, d, e = (n * width for n in (1, 2, 3, 6, 8))
        self.pool = pool
        self.conv1, self.bn1 = nn.Conv2d(3, a, 3, 2, bias=False), nn.BatchNorm2d(a)
        self.conv2, self.bn2 = nn.Conv2d(a, b, 3, bias=False), nn.BatchNorm2d(b)
        self.block1 = Block(b, c, 2, 2, False)
        self.block2 = Block(c, d, 2, 2, True)
        self.block3 = Block(d, d, 3, 1, True)
        self.block4 = Block(d, e, 2, 2, True, grow_first=False)
        self.conv3, self.bn3 = Separable(e, e), nn.BatchNorm2d(e)
        self.last_linear = nn.Linear(e, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.ReLU()(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.block4(self.block3(self.block2(self.block1(x))))
        x = nn.ReLU(inplace=True)(self.bn3(self.conv3(x)))
        return self.last_linear(POOLS[self.pool](x))


def xception(num_classes: int = 1) -> nn.Module:
    return Xception(num_classes)


def inception(num_classes: int = 1) -> nn.Module:
    """As torchvision has it with ImageNet's weights: auxiliary logits, and the picture's scale changed."""
    return torchvision.models.inception_v3(
        num_classes=num_classes, aux_logits=True, transform_input=True, init_weights=False
    )


class Fixed(nn.Module):
    """Flatten and a linear layer, made for pictures of 40 x 40 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(8 * 10 * 10, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = x.view(-1, 8 * 10 * 10)
        return self.fc2(self.fc1(x).relu())


class Squeeze(nn.Module):
    """Squeeze-excite as it is often written: linear layers, a view, and expand_as."""

    def __init__(self, channels: int, hard: bool = False) -> None:
        super().__init__()
        self.hard = hard
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Linear(channels, 2), nn.ReLU(inplace=True), nn.Linear(2, channels))

    def forward(self, x: Tensor) -> Tensor:
        b, c, _, _ = x.size()
        y = self.fc(self.avg_pool(x).view(b, c)).view(b, c, 1, 1)
        y = F.relu6(y + 3.0) / 6.0 if self.hard else torch.sigmoid(y)
        return x * y.expand_as(x)


class Manifold(nn.Module):
    """Many spellings in one small network: its own normalisation, parts, shuffles, gates, activations."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.5, 0.4, 0.6]).view(1, 3, 1, 1))
        self.stem, self.bn = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.squeeze, self.hard = Squeeze(8), Squeeze(8, hard=True)
        self.merge = nn.Conv2d(8, 6, 3, bias=False)
        self.norm = nn.BatchNorm1d(6)
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        x = self.bn(self.stem(x))
        x.relu_()  # the result is not used, but x has changed
        a, b = x.chunk(2, dim=1)
        a = F.hardswish(self.left(a))
        b, c = torch.split(F.leaky_relu(self.right(b), 0.1), [1, 3], dim=1)
        x = torch.cat((a, b, c), dim=1)
        n, channels, height, width = x.shape
        x = x.view(n, 2, channels // 2, height, width).permute(0, 2, 1, 3, 4).contiguous()
        x = self.hard(self.squeeze(x.view(n, -1, height, width)))
        x = x * (F.relu6(x + 3) / 6) + 0.25 * x[:, :, :, :]
        x = F.pad(x, (1, 1, 1, 1))
        x = self.merge(x).clamp(min=0).mean([2, 3])
        y = self.fc(F.dropout(self.norm(x), 0.5, self.training))
        return y[:, 1:] - y[:, :1]


def manifold() -> nn.Module:
    return Manifold()


def fixed() -> nn.Module:
    return Fixed()


class Narrow(nn.Module):
    """A ResNet of blocks as ResNet-18 has them, of a quarter of its width: a tenth of the arithmetic."""

    def __init__(self, num_classes: int = 1, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0])
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        blocks, before = [], widths[0]
        for width in widths:
            stride, skip = 1 + (width != before), None
            if width != before:
                skip = nn.Sequential(nn.Conv2d(before, width, 1, 2, bias=False), nn.BatchNorm2d(width))
            blocks.append(torchvision.models.resnet.BasicBlock(before, width, stride, skip))
            before = width
        self.layers = nn.Sequential(*blocks)
        self.fc = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.layers(x).mean((2, 3)))


def narrow() -> nn.Module:
    return Narrow()


def vgg11(num_classes: int = 1) -> nn.Module:
    """torchvision's VGG-11 with a narrow end: the usual one has 120 million weights there."""
    with torch.device("meta"):
        model = torchvision.models.VGG(nn.Identity(), init_weights=False)
    model.features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"])
    widths = [512 * 7 * 7, 128, 128]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True), nn.Dropout()]
    model.classifier = nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))
    return model
