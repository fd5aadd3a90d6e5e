"""U-ViT (Bao et al., CVPR 2023): a diffusion transformer with long skips, and its uncertainty heads for early exit.

Loads and saves as a diffusers model; `convert.load_public` reads the checkpoints of U-ViT and AdaDiff.
"""

from effml.models.uvit.model import Block, UViT

__all__ = ["Block", "UViT"]
