"""Options, metrics and tables of the operator benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

SUITES = ("gemm", "skew", "conv", "spmm", "stream", "attention", "train", "product", "portrait", "all")
DTYPES = ("fp32", "tf32", "fp16", "bf16", "fp64")


@dataclass
class Gemm:
    sizes: list[int] = option([256, 512, 1024], "n of the square GEMMs", low=8)
    skew_size: int = option(512, "n whose n^3 products the skewed GEMMs keep", low=64)
    skew_ratios: list[int] = option([-4, -2, 0, 2, 4], "log2 of m/n of the skewed GEMMs", low=-8, high=8)
    batch: int = option(16, "matrices of a batched GEMM", low=1)
    batch_sizes: list[int] = option([64, 128], "n of the batched GEMMs", low=8)


@dataclass
class Conv:
    batch: int = option(4, "images in a convolution", low=1)
    layers: int = option(8, "how many of the listed layers", low=1, high=8)


@dataclass
class Sparse:
    rows: int = option(2048, "rows and columns of the sparse matrix", low=64)
    densities: list[float] = option([0.1, 0.01], "share of nonzeros", low=1e-5, high=1.0)
    widths: list[int] = option([64, 256], "columns of the dense operand", low=1)
    block: int = option(16, "edge of a block", low=1)


@dataclass
class Stream:
    sizes: list[int] = option([65536, 1048576, 16777216], "elements of the streaming operators", low=1024)


@dataclass
class Attention:
    batch: int = option(1, "sequences", low=1)
    heads: int = option(8, "heads", low=1)
    head_dim: int = option(64, "width of a head", low=8)
    lengths: list[int] = option([256, 1024], "sequence lengths", low=16)


@dataclass
class Model:
    names: list[str] = option(["mini"], "encoders: mini, or of BERT's sizes", choices=("mini", "base", "large"))
    batch: int = option(4, "sequences", low=1)
    length: int = option(128, "tokens of a sequence", low=8)


@dataclass
class DeepBench:
    shapes: int = option(5, "shapes of each list, spread evenly by work; 0 for all", low=0)
    operations: float = option(1e9, "operations above which a shape is left out", low=1.0)


@dataclass
class Product:
    nodes: int = option(16384, "rows of the graphs that own kernels multiply", low=64)
    width: int = option(256, "features of a node", low=8)
    steps: int = option(16, "T of the spiking neurons", low=1)
    neurons: int = option(32768, "spiking neurons, even", low=2)


@dataclass
class Config:
    suite: str = option("all", "what to measure", choices=SUITES)
    dataset: Dataset = group(Dataset)
    dtypes: list[str] = option(["fp32", "bf16"], "dtypes; those that the device lacks are left out", choices=DTYPES)
    rounds: int = option(7, "interleaved rounds per case", low=3)
    cold: bool = option(True, "clear the caches before each sample")
    gemm: Gemm = group(Gemm)
    conv: Conv = group(Conv)
    sparse: Sparse = group(Sparse)
    stream: Stream = group(Stream)
    attention: Attention = group(Attention)
    model: Model = group(Model)
    deepbench: DeepBench = group(DeepBench)
    product: Product = group(Product)

    def check(self) -> None:
        if self.product.neurons % 2:
            raise UserError(
                f"product.neurons={self.product.neurons} cannot be halved into two groups; use an even number"
            )


_WARM = ("tflops", "warm_tflops", "over_fp32", "share_of_roof", "scaled_error")
_FILL = "effml run accelerators suite={suite}"

EXPERIMENT = Experiment(
    name="accelerators",
    title="What this device really does on the operators of AI",
    paper="ICPE 2024 Companion, arXiv 2311.04417",
    config=Config,
    datasets=("random",),
    metrics=(
        Metric("tflops", "TFLOP/s", "closed-form operations over the median time, random data", better="higher"),
        Metric("warm_tflops", "TFLOP/s", "the same with operands that the call before left in the caches", better="higher"),
        Metric("over_fp32", "x", "warm rate over the best one of float32 on the same shape", better="higher"),
        Metric("seconds", "s", "median time of one call", better="lower"),
        Metric("bandwidth", "GB/s", "least bytes that must move over the median time", better="higher"),
        Metric("intensity", "FLOP/B", "operations per least byte"),
        Metric("share_of_roof", "1", "share of the roofline measured in the same run", better="higher"),
        Metric("share_of_spec", "1", "share of the device's published peak, where one is known", better="higher"),
        Metric("relative", "x", "against the square GEMM of the same work", better="higher"),
        Metric("speedup", "x", "time of the first provider over this one's", better="higher"),
        Metric("scaled_error", "1", "largest error over the largest entry, against float64", better="lower"),
        Metric("samples_per_second", "1/s", "sequences per second", better="higher"),
        Metric("joules", "J", "energy of one call, where the machine has a meter", better="lower"),
        Metric("peak_tflops", "TFLOP/s", "highest GEMM rate measured, or published", better="higher"),
        Metric("peak_bandwidth", "GB/s", "highest streaming rate measured from memory, or published", better="higher"),
        Metric("ridge", "FLOP/B", "intensity at which the measured roofs meet"),
        Metric("rate", "", "the figure named, in the unit named"),
        Metric("drift", "1", "anchor GEMM at the end over the same at the start; far from 1 means throttling or neighbours"),
    ),
    tables=(
        Table("gemm", "Square GEMM n x n x n", rows=("n", "dtype", "provider"), metrics=(*_WARM, "share_of_spec", "joules"),
              fill="effml run accelerators suite=gemm gemm.sizes=[{n}]"),
        Table("skew", "Skewed GEMM at constant work", rows=("log2_ratio", "shape", "dtype"),
              metrics=("tflops", "relative", "share_of_roof", "scaled_error"), fill="effml run accelerators suite=skew"),
        Table("batched", "Batched GEMM", rows=("shape", "dtype"), metrics=_WARM, fill="effml run accelerators suite=gemm"),
        Table("deepbench", "DeepBench GEMM shapes m x n x k", rows=("shape", "dtype"), columns="device", metrics=("tflops",),
              fill="effml run accelerators suite=gemm", note="V100: published, not measured here. At, Bt: stored transposed."),
        Table("deepbench_conv", "DeepBench convolutions", rows=("shape", "dtype"), columns="device", metrics=("tflops",),
              fill="effml run accelerators suite=conv"),
        Table("deepbench_sparse", "DeepBench sparse GEMM shapes m x n x k", rows=("shape", "provider"), columns="device",
              metrics=("tflops",), fill="effml run accelerators suite=spmm", note="Operations of nonzeros alone."),
        Table("deepbench_rnn", "DeepBench recurrent layers", rows=("shape", "dtype"), columns="device", metrics=("tflops",),
              fill="effml run accelerators suite=train"),
        Table("devices", "Devices side by side", rows=("figure", "dtype"), columns="device", metrics=("rate",),
              fill="effml run accelerators",
              note="In the unit that each line names; the best of what was measured on that device, whatever its sizes. "
                   "`--device replay` adds published figures."),
        Table("instructions", "What multiplies matrices", rows=("device", "dtype", "isa"), metrics=("peak_tflops",),
              fill="effml run accelerators suite=portrait"),
        Table("best", "Highest GEMM rate found, by device", rows=("device", "dtype"), metrics=("peak_tflops",),
              note="Other devices: published by others, found by a search over shapes."),
        Table("conv", "2-D convolution, direct operation count", rows=("layer", "dtype", "provider"),
              metrics=("tflops", "warm_tflops", "speedup", "share_of_roof", "scaled_error"),
              fill="effml run accelerators suite=conv"),
        Table("spmm", "Sparse CSR times dense", rows=("shape", "density", "provider"),
              metrics=("tflops", "speedup", "share_of_roof", "scaled_error"), fill="effml run accelerators suite=spmm"),
        Table("block_sparse", "Block-sparse times dense", rows=("shape", "block", "density", "provider"),
              metrics=("tflops", "speedup", "share_of_roof", "scaled_error"), fill="effml run accelerators suite=spmm"),
        Table("stream", "Streaming operators", rows=("op", "elements", "dtype"),
              metrics=("bandwidth", "share_of_roof", "scaled_error"), fill="effml run accelerators suite=stream"),
        Table("attention", "Causal attention", rows=("shape", "dtype", "provider"),
              metrics=("tflops", "speedup", "share_of_roof", "scaled_error"), fill="effml run accelerators suite=attention"),
        Table("encoder", "Transformer encoders", rows=("model", "shape", "step", "dtype"),
              metrics=("tflops", "samples_per_second", "share_of_roof", "scaled_error"),
              fill="effml run accelerators suite=train"),
        Table("product", "This product's kernels", rows=("op", "shape", "dtype", "provider"),
              metrics=("seconds", "speedup", "bandwidth", "scaled_error"), fill="effml run accelerators suite=product"),
        Table("roofline", "Every operator under the measured roof", rows=("op", "case", "dtype"),
              metrics=("intensity", "tflops", "share_of_roof")),
        Table("portrait", "The device in numbers, dtype by dtype", rows=("dtype",),
              metrics=("peak_tflops", "peak_bandwidth", "ridge", "drift"), fill="effml run accelerators suite=portrait"),
        Table("hardware", "Published peaks of the paper's devices and ours", rows=("device", "dtype"),
              metrics=("peak_tflops", "peak_bandwidth"), note="Blank: no source at hand."),
    ),
    timed=lambda config: True,
    plugins=True,
    cost=lambda config: Cost(
        (20 if max(config.gemm.sizes) <= 256 else 150) * (1 if config.suite == "all" else 0.3), 1.5e9, "nothing may run beside it"
    ),
    plots=(
        Plot("gemm", "Square GEMM", "gemm", "line", "n", "tflops", series=("dtype", "provider"), log="xy"),
        Plot("skew", "Skewed GEMM, relative to square", "skew", "line", "log2_ratio", "relative", series=("dtype",), zero=1.0),
        Plot("stream", "Streaming bandwidth", "stream", "line", "elements", "bandwidth", series=("op", "dtype"), log="x"),
        Plot("roofline", "Roofline, measured roofs", "roofline", "scatter", "intensity", "tflops", series=("op",), log="xy"),
    ),
)  # fmt: skip
