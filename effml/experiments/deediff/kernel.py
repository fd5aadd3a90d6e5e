"""Suite `kernel`: the fused uncertainty against its parts."""

from __future__ import annotations

import torch

from effml.experiments.core.measure import interleave, scaled_error
from effml.experiments.core.run import Run
from effml.models.uvit import UViT
from effml.models.uvit.cost import whole


def kernel(run: Run) -> None:
    """The fused uncertainty against its parts, at the CIFAR-10 model's size."""
    from effml.kernels import mean_uncertainty

    rows = (1, 64) if run.preset == "smoke" else (1, 64, 256)
    for batch in rows:
        generator = run.generator(f"kernel {batch}")
        tokens = torch.randn(batch, 257, 512, generator=generator).to(run.device)[:, 1:]
        weight = (torch.randn(12, 512, generator=generator) / 20).to(run.device)
        bias = torch.randn(12, generator=generator).to(run.device)
        exact = mean_uncertainty(tokens.double(), weight.double(), bias.double(), backend="reference")
        providers = {
            "torch": lambda t=tokens, w=weight, b=bias: torch.sigmoid(t @ w.T + b).mean(dim=(1, 2)),
            "effml": lambda t=tokens, w=weight, b=bias: mean_uncertainty(t, w, b),
        }
        errors = {name: scaled_error(call(), exact) for name, call in providers.items()}
        timings = interleave(providers, rounds=7, device=run.device)
        for name, timing in timings.items():
            labels = {"shape": f"{batch}x256x512", "provider": name}
            run.record("kernel", labels, "scaled_error", errors[name])
            if errors[name] < 1e-4:
                run.record("kernel", labels, "seconds", timing.median, samples=timing.samples)
                run.record("kernel", labels, "speedup", timing.speedup_over(timings["torch"]).median)
    run.note(f"whole CIFAR-10 model: {whole(UViT()) / 1e9:.2f} GMAC a call")
