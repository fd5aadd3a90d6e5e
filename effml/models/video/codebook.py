"""Frames to codes and back with k-means over patches: trains in seconds on a CPU, and needs no gradient.

Knows nothing of captions or time: a clip is encoded frame by frame.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


class PatchCodebook:
    """A code for each `patch x patch` square: the nearest of `centres`.

    Args:
        centres: `[codes, C * patch * patch]`, in units of 0 to 1.
        channels: C.
        patch: side of a square in pixels.
    """

    def __init__(self, centres: Float[Tensor, "codes values"], channels: int, patch: int) -> None:
        if centres.shape[1] != channels * patch * patch:
            raise ValueError(f"centres of {centres.shape[1]} values are no patches of {channels} x {patch} x {patch}")
        self.centres, self.channels, self.patch = centres, channels, patch

    @staticmethod
    def fit(frames: Float[Tensor, "frames C H W"], codes: int, patch: int, seed: int = 0) -> PatchCodebook:
        """Cluster the patches of `frames` (0 to 1); a patch that occurs n times counts sqrt(n), or emptiness would win.

        Raises:
            ValueError: frames that do not divide into patches, or fewer distinct patches than codes.
        """
        from sklearn.cluster import MiniBatchKMeans

        patches = PatchCodebook.patches(frames, patch)
        distinct, counts = torch.unique(patches, dim=0, return_counts=True)
        if len(distinct) < codes:
            raise ValueError(f"{len(distinct)} distinct patches cannot make {codes} codes; ask for fewer")
        weight = counts.double().sqrt()
        means = MiniBatchKMeans(codes, random_state=seed, n_init=1, batch_size=4096, max_iter=30, init_size=4 * codes)
        means.fit(distinct.numpy(), sample_weight=weight.numpy())
        return PatchCodebook(torch.from_numpy(means.cluster_centers_).float(), frames.shape[1], patch)

    @staticmethod
    def patches(frames: Float[Tensor, "frames C H W"], patch: int) -> Float[Tensor, "patches values"]:
        """The squares of all frames in raster order, each as one row."""
        count, channels, height, width = frames.shape
        if height % patch or width % patch:
            raise ValueError(f"frames of {height} x {width} do not divide into patches of {patch} x {patch}")
        cut = frames.reshape(count, channels, height // patch, patch, width // patch, patch)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels * patch * patch)

    @property
    def codes(self) -> int:
        return len(self.centres)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of codes of a frame."""
        return height // self.patch, width // self.patch

    def encode(self, frames: Float[Tensor, "frames C H W"]) -> Int[Tensor, "frames rows columns"]:
        patches = self.patches(frames, self.patch).to(self.centres)
        # |x - c|^2 without |x|^2, which does not decide.
        squares = self.centres.square().sum(1) / 2
        codes = torch.cat([(squares - part @ self.centres.T).argmin(1) for part in patches.split(65536)])
        return codes.view(len(frames), *self.grid(*frames.shape[2:]))

    def decode(self, codes: Int[Tensor, "frames rows columns"]) -> Float[Tensor, "frames C H W"]:
        count, rows, columns = codes.shape
        patches = self.centres[codes].view(count, rows, columns, self.channels, self.patch, self.patch)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(count, self.channels, rows * self.patch, columns * self.patch)


def perplexity(codes: Int[Tensor, "*any"], size: int) -> float:
    """exp of the entropy of code use: how many of `size` codes are in use, counted evenly."""
    share = torch.bincount(codes.flatten(), minlength=size).double()
    share = share[share > 0] / share.sum()
    return float(torch.exp(-(share * share.log()).sum()))
