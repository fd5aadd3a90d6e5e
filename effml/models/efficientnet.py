"""EfficientNet-B2 (Tan and Le, 2019) from its configuration in transformers; logits out, nothing pretrained unless asked.

Its SiLU activations are what a ReLU-reduction method replaces. The sigmoids of its squeeze-and-excitation blocks stay,
and are not cheap in a two-party protocol.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class EfficientNetB2(nn.Module):
    """Args: pretrained: a model name or folder with weights for transformers' EfficientNet, or None for random ones."""

    def __init__(self, classes: int = 1000, pretrained: str | None = None) -> None:
        super().__init__()
        from transformers import EfficientNetConfig, EfficientNetForImageClassification

        if pretrained is not None:
            self.network = EfficientNetForImageClassification.from_pretrained(pretrained)
            return
        config = EfficientNetConfig(width_coefficient=1.1, depth_coefficient=1.2, hidden_dim=1408, dropout_rate=0.3)
        config.num_labels = classes
        self.network = EfficientNetForImageClassification(config)

    def forward(self, x: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch classes"]:
        return self.network(pixel_values=x).logits
