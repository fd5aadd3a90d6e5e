"""Residual networks for small images, each ReLU a module of its own so that sites can be found, counted and replaced.

ResNet-18 (He et al., 2016) in the form of the ReLU-reduction papers: 3x3 stem of stride 1 without ReLU, no max pooling,
four stages. Wide ResNet (Zagoruyko and Komodakis, 2016): pre-activation, no ReLU before the pooling. Knows no gates.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    """`relu(bn(conv(relu(bn(conv(x))))) + shortcut(x))`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.act1 = _convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU()
        self.conv2, self.bn2, self.act2 = _convolution(outputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU()
        same = stride == 1 and inputs == outputs
        projection = [_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*projection)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        y = self.act1(self.bn1(self.conv1(x)))
        return self.act2(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Args: width: channels of the first stage (64 in the papers), doubled from stage to stage; blocks: per stage."""

    def __init__(
        self, classes: int = 10, width: int = 64, channels: int = 3, blocks: tuple[int, ...] = (2, 2, 2, 2)
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, width, 3), nn.BatchNorm2d(width))
        layers: list[nn.Module] = []
        inputs = width
        for stage, count in enumerate(blocks):
            outputs = width * 2**stage
            for index in range(count):
                layers.append(BasicBlock(inputs, outputs, 2 if stage and not index else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*layers)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.head = nn.Linear(inputs, classes)
        _initialise(self)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.flatten(self.pool(self.blocks(self.stem(x)))))


class PreActivationBlock(nn.Module):
    """`conv(relu(bn(conv(relu(bn(x)))))) + shortcut`; a projecting shortcut starts after the first ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.act1, self.conv1 = nn.BatchNorm2d(inputs), nn.ReLU(), _convolution(inputs, outputs, 3, stride)
        self.bn2, self.act2, self.conv2 = nn.BatchNorm2d(outputs), nn.ReLU(), _convolution(outputs, outputs, 3)
        self.project = None if inputs == outputs and stride == 1 else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        y = self.act1(self.bn1(x))
        shortcut = x if self.project is None else self.project(y)
        return self.conv2(self.act2(self.bn2(self.conv1(y)))) + shortcut


class WideResNet(nn.Module):
    """Args: depth: 6 n + 4, three groups of n blocks; widen: factor on the widths 16, 32, 64."""

    def __init__(self, classes: int = 10, depth: int = 22, widen: int = 8, channels: int = 3) -> None:
        super().__init__()
        if (depth - 4) % 6:
            raise ValueError(f"the depth of a wide ResNet is 6 n + 4, not {depth}")
        self.stem = _convolution(channels, 16, 3)
        layers: list[nn.Module] = []
        inputs = 16
        for group in range(3):
            outputs = 16 * widen * 2**group
            for index in range((depth - 4) // 6):
                layers.append(PreActivationBlock(inputs, outputs, 2 if group and not index else 1))
                inputs = outputs
        self.blocks, self.bn = nn.Sequential(*layers), nn.BatchNorm2d(inputs)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.head = nn.Linear(inputs, classes)
        _initialise(self)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.flatten(self.pool(self.bn(self.blocks(self.stem(x))))))


def _initialise(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
