"""BiSeNet with ResNet-18, the face parser that sorts patches in the published code; weights are not shipped.

Modules are called as in the weights that are in circulation (``79999_iter.pth``, trained on CelebAMask-HQ),
so that these fit. The two auxiliary heads are there for their weights alone.

Source: Yu et al., BiSeNet: Bilateral segmentation network for real-time semantic segmentation, ECCV 2018.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from tff_core import detectors

CLASSES = 19


class _ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, out: int, kernel: int = 3, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Attention(nn.Module):
    """A convolution whose channels are weighted by what they are in the whole picture."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(channels, out)
        self.conv_atten = nn.Conv2d(out, out, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        weights = self.bn_atten(self.conv_atten(features.mean((2, 3), keepdim=True)))
        return features * torch.sigmoid(weights)  # type: ignore[no-any-return]


class _Context(nn.Module):
    """ResNet-18's last three stages, the coarse ones brought back to the resolution of the finest."""

    def __init__(self) -> None:
        super().__init__()
        trunk = resnet18()
        del trunk.fc, trunk.avgpool  # no weights of theirs are in the files
        self.resnet = trunk
        self.arm16, self.arm32 = _Attention(256, 128), _Attention(512, 128)
        self.conv_head32, self.conv_head16 = _ConvNorm(128, 128), _ConvNorm(128, 128)
        self.conv_avg = _ConvNorm(512, 128, 1, 0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        net = self.resnet
        x = net.layer1(net.maxpool(F.relu(net.bn1(net.conv1(x)))))
        eighth = net.layer2(x)
        sixteenth = net.layer3(eighth)
        last = net.layer4(sixteenth)
        whole = self.conv_avg(last.mean((2, 3), keepdim=True))
        coarse = self.arm32(last) + whole
        coarse = self.conv_head32(F.interpolate(coarse, sixteenth.shape[-2:], mode="nearest"))
        fine = self.arm16(sixteenth) + coarse
        return eighth, self.conv_head16(F.interpolate(fine, eighth.shape[-2:], mode="nearest"))


class _Fusion(nn.Module):
    """Fine and coarse features together, the channels weighted."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = _ConvNorm(256, 256, 1, 0)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        both = self.convblk(torch.cat([fine, coarse], 1))
        weights = self.conv2(F.relu(self.conv1(both.mean((2, 3), keepdim=True))))
        return both * torch.sigmoid(weights) + both  # type: ignore[no-any-return]


class _Head(nn.Module):
    """Scores of the classes."""

    def __init__(self, channels: int, between: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(channels, between)
        self.conv_out = nn.Conv2d(between, CLASSES, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))  # type: ignore[no-any-return]


class BiSeNet(nn.Module):
    """Pictures (N, 3, H, W), with ImageNet's mean and deviation removed, to scores (N, 19, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = _Context()
        self.ffm = _Fusion()
        self.conv_out = _Head(256, 256)
        self.conv_out16, self.conv_out32 = _Head(128, 64), _Head(128, 64)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.conv_out(self.ffm(*self.cp(x)))
        return F.interpolate(scores, x.shape[-2:], mode="bilinear", align_corners=True)


def load(path: str | Path) -> BiSeNet:
    """The parser with the weights of a file, in evaluation mode. Raises as `detectors.load_weights`."""
    net = BiSeNet()
    detectors.load_weights(net, path)
    return net.eval()
