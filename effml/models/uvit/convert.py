"""Reads the public checkpoints: U-ViT's (baofff) and AdaDiff's, whose heads predict certainty instead of uncertainty."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from effml.errors import MissingRequirement
from effml.models.uvit.model import UViT

_INNER = {"attn.qkv": "qkv", "attn.proj": "proj", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}
_OUTER = {"patch_embed.proj": "patch_embed", "context_embed": "text_embed", "label_emb": "label_embed"}
_HEADS = ("norm", "decoder_pred", "final_layer")


def to_ours(state: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Names of a public state dict turned into ours; certainty heads turned into uncertainty heads.

    sigmoid(-z) = 1 - sigmoid(z), so a certainty head with its sign turned is an uncertainty head, exactly.
    """
    half = depth // 2
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        name = name.removeprefix("module.")
        match = re.match(r"(in_blocks\.(\d+)|mid_block|out_blocks\.(\d+))\.(.*)", name)
        if match:
            index = int(match[2]) if match[2] else half + 1 + int(match[3]) if match[3] else half
            found[f"blocks.{index}.{_replace(match[4], _INNER)}"] = value
        elif name.startswith("lte_classifer."):
            _, index_text, _, part = name.split(".")
            found[f"uncertainty_heads.{index_text}.{part}"] = -value
        elif name.split(".")[0] in _HEADS:
            head, part = name.split(".", 1)
            found[f"{head}.0.{part}"] = value
        else:
            found[_replace(name, _OUTER)] = value
    return found


def _replace(name: str, names: dict[str, str]) -> str:
    for theirs, ours in names.items():
        if name == theirs or name.startswith(theirs + "."):
            return ours + name[len(theirs) :]
    return name


def load_public(model: UViT, path: Path) -> list[str]:
    """Load a public `.pth` into `model`; returns the names that it lacks (uncertainty heads, for a plain U-ViT).

    Raises:
        MissingRequirement: unreadable file, or weights that are not of this architecture.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise MissingRequirement(f"{path.name} is not a readable checkpoint ({type(error).__name__})") from None
    converted = to_ours(state, 2 * model.middle)
    try:
        result = model.load_state_dict(converted, strict=False)
    except RuntimeError as error:
        raise MissingRequirement(
            f"{path.name} holds another architecture: {str(error).splitlines()[1].strip()}"
        ) from None
    missing = [name for name in result.missing_keys if not name.startswith("uncertainty_heads.")]
    if missing or result.unexpected_keys:
        wrong = (missing + result.unexpected_keys)[0]
        raise MissingRequirement(f"{path.name} is not a checkpoint of this model: {wrong} does not fit")
    return result.missing_keys
