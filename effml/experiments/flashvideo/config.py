"""Options, metrics and tables of FlashVideo."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

SUITES = ("train", "decode", "interpolate", "kernel", "all")


@dataclass
class Clips(Dataset):
    clips: int | None = option(None, "clips to generate, or videos to read from your folder", low=2)
    frames: int | None = option(None, "frames of a clip", low=1)
    size: int | None = option(None, "side of a frame in pixels", low=8)
    speed: int | None = option(None, "pixels a frame that a digit moves", low=1)


@dataclass
class Tokenizer:
    kind: str = option("kmeans", "how frames become codes", choices=("kmeans", "vq"))
    codes: int = option(256, "size of the codebook", low=2)
    patch: int = option(4, "side in pixels of what one code stands for", low=2)
    steps: int = option(400, "training steps of the vq tokenizer", low=1)


@dataclass
class Model:
    kind: str = option("retnet", "what predicts the codes", choices=("retnet", "transformer", "masked"))
    width: int = option(128, "channels", low=8)
    layers: int = option(4, "blocks", low=1)
    heads: int = option(4, "heads", low=1)
    decay: str = option(
        "framewise", "half-lives of RetNet's heads, in tokens or in frames", choices=("retnet", "framewise")
    )
    serial: str = option("token", "how a model is told the frame number", choices=("token", "embedding", "none"))


@dataclass
class Training:
    steps: int = option(2000, "optimizer steps", low=1)
    batch: int = option(8, "clips a step", low=1)
    rate: float = option(2e-3, "peak learning rate of AdamW, cosine", low=0.0)
    warmup: int = option(50, "steps of linear warm-up", low=0)
    weight_decay: float = option(0.05, "weight decay", low=0.0)


@dataclass
class Sampling:
    clips: int = option(160, "clips generated for judging", low=1)
    temperature: float = option(1.0, "0 takes the likeliest code", low=0.0)
    top_k: int = option(0, "codes drawn from; 0 for all", low=0)
    top_p: float = option(0.95, "share of the probability drawn from", low=0.01, high=1.0)
    frames: int | None = option(None, "frames of a generated clip, default as in training", low=1)
    captions: str | None = option(None, "captions of your own to generate clips for, separated by ';'")
    rounds: int = option(12, "passes of the masked model", low=1)


@dataclass
class Decode:
    lengths: list[int] = option([256, 512, 1024, 2048, 4096], "tokens so far", low=8)
    batches: list[int] = option([1], "sequences at once", low=1)
    width: int = option(128, "channels", low=8)
    layers: int = option(4, "blocks", low=1)
    heads: int = option(4, "heads", low=1)
    dtype: str = option("fp32", "of weights and activations", choices=("fp32", "bf16"))
    rounds: int = option(7, "interleaved rounds", low=3)
    masked_rounds: int = option(12, "passes of masked generation", low=1)


@dataclass
class Kernel:
    lengths: list[int] = option([128, 512, 2048, 4096], "tokens", low=1)
    batch: int = option(1, "sequences", low=1)
    heads: int = option(4, "heads", low=1)
    keys: int = option(32, "key channels of a head", low=1, high=256)
    values: int = option(64, "value channels of a head", low=1, high=256)
    chunks: list[int] = option([64], "tokens a chunk", low=16, high=128)
    dtypes: list[str] = option(["fp32"], "operand types", choices=("fp32", "fp16", "bf16"))
    naive_limit: int = option(512, "longest sequence for the token-by-token form", low=1)
    rounds: int = option(7, "interleaved rounds", low=3)


@dataclass
class Interpolation:
    gaps: list[int] = option([2, 4], "frames from one key frame to the next", low=2)
    taus: list[float] = option([0.0, 4.0, 8.0], "grey levels below which a patch counts as static", low=0.0)
    dilations: list[int] = option([0, 1], "patches computed around each that changes", low=0)
    methods: list[str] = option(["blend", "motion"], "interpolators", choices=("blend", "motion"))
    patch: int = option(8, "side of a patch in pixels", low=2)
    clips: int = option(16, "clips at most", low=1)
    rounds: int = option(3, "interleaved rounds", low=3)


@dataclass
class Config:
    suite: str = option("train", "what to run", choices=SUITES)
    dataset: Clips = group(Clips)
    tokenizer: Tokenizer = group(Tokenizer)
    model: Model = group(Model)
    train: Training = group(Training)
    sample: Sampling = group(Sampling)
    decode: Decode = group(Decode)
    kernel: Kernel = group(Kernel)
    interpolate: Interpolation = group(Interpolation)
    threads: int = option(1, "CPU threads of the timed suites; at their sizes more add little but noise", low=1)

    def check(self) -> None:
        for where, shape in (("model", self.model), ("decode", self.decode)):
            if shape.width % (2 * shape.heads):
                raise UserError(
                    f"{where}.width={shape.width} does not split into {where}.heads={shape.heads} heads of an even "
                    f"number of channels; use a multiple of {2 * shape.heads}"
                )
        if self.model.kind == "masked" and self.suite in ("train", "all") and self.model.serial != "token":
            raise UserError(
                "model.serial is of the models that go from left to right; leave it out with model.kind=masked"
            )
        if any(chunk not in (16, 32, 64, 128) for chunk in self.kernel.chunks):
            raise UserError(f"kernel.chunks={self.kernel.chunks}: a chunk is 16, 32, 64 or 128 tokens")


def _cost(config: Config) -> Cost:
    seconds = {"train": 0.0, "decode": 0.0, "interpolate": 0.0, "kernel": 0.0}
    weights = config.model.layers * (config.model.width / 128) ** 2 / 4
    seconds["train"] = 20 + config.train.steps * config.train.batch / 16 * 0.15 * weights
    size = config.decode.layers / 4 * (config.decode.width / 128) ** 2
    seconds["decode"] = 5 + sum(
        length / 4096 * 25 * size * sum(config.decode.batches) for length in config.decode.lengths
    )
    between, side = config.interpolate, config.dataset.size
    ways = (len(between.gaps) * (len(between.taus) + 1) * len(between.dilations) + 2) * len(between.methods)
    # A pass over a real clip as it is, or over 16 of the given or default size.
    each = 0.8 * ((side or 64) / 64) ** 2 if side or config.dataset.name == "moving-digits" else 12.0
    seconds["interpolate"] = 5 + ways * each * (between.rounds + 4) / 7
    seconds["kernel"] = 30.0
    chosen = seconds.values() if config.suite == "all" else [seconds[config.suite]]
    return Cost(sum(chosen), 1.5e9, "on two CPU cores")


_TRAIN = (
    "effml run flashvideo --dataset {dataset} model.kind={model} model.serial={serial} model.decay={decay} "
    "train.steps={steps}"
)
_DECODE = "effml run flashvideo suite=decode decode.lengths=[{length}] decode.batches=[{batch}]"

EXPERIMENT = Experiment(
    name="flashvideo",
    title="FlashVideo: text to video with retention instead of attention",
    paper="arXiv 2401.00869 (30 Dec 2023)",
    config=Config,
    datasets=("moving-digits", "cricket-shot", "video-folder"),
    metrics=(
        Metric("nll", "nats", "negative log likelihood of a code of validation clips, given caption and past", better="lower"),
        Metric("unigram_nll", "nats", "the same when codes are guessed by their frequency alone"),
        Metric("shuffled_nll", "nats", "nll under the captions of other clips; far above nll when captions are heeded"),
        Metric("first_frame_nll", "nats", "nll of the first frame", better="lower"),
        Metric("later_frames_nll", "nats", "nll of the third and later frames", better="lower"),
        Metric("digit_accuracy", "1", "generated clips whose captioned digit a classifier reads; chance 0.1", better="higher"),
        Metric("digit_accuracy_low", "1", "lower end of its 95 % interval (Wilson)", better="higher"),
        Metric("direction_accuracy", "1", "generated clips that move as captioned; chance 0.125", better="higher"),
        Metric("direction_accuracy_low", "1", "lower end of its 95 % interval (Wilson)", better="higher"),
        Metric("motion_error", "pixels", "rms difference, a frame, from the motion of a real clip so captioned", better="lower"),
        Metric("change_ratio", "x", "mean change from frame to frame, generated over real"),
        Metric("tokenizer_psnr", "dB", "validation frames against themselves through the tokenizer", better="higher"),
        Metric("perplexity", "codes", "codes in even use: exp of the entropy of code frequencies"),
        Metric("parameters", "1", "weights of the model"),
        Metric("passes", "1", "forward passes for one clip", better="lower"),
        Metric("clip_seconds", "s", "time for one clip of this length (batch of one stage, key frames only)", better="lower"),
        Metric("token_seconds", "s", "CPU time (GPU: elapsed time) of one more token", better="lower"),
        Metric("state_bytes", "B", "memory that the tokens so far take up", better="lower"),
        Metric("speedup", "x", "baseline time over RetNet's (interpolation: dense over redundant-free)", better="higher"),
        Metric("at_roofs", "x", "speedup if both did only their least traffic and arithmetic at measured rates; no bound"),
        Metric("crossing", "tokens", "least length at which a clip takes 9.17 times as long with the baseline as with RetNet"),
        Metric("growth", "x", "time of a token at the greatest length over that at the least"),
        Metric("share_of_bound", "1", "least time by rates measured in this run, over the time taken", better="higher"),
        Metric("seconds", "s", "median CPU time (GPU: elapsed time) of one call", better="lower"),
        Metric("scaled_error", "1", "largest error over the largest entry, against float64", better="lower"),
        Metric("skipped", "1", "share of patches copied instead of computed", better="higher"),
        Metric("psnr", "dB", "interpolated frames against the real ones", better="higher"),
        Metric("dense_psnr", "dB", "the same with every patch computed", better="higher"),
        Metric("psnr_loss", "dB", "what skipping costs", better="lower"),
        Metric("difference_max", "levels", "largest difference of a pixel from dense interpolation", better="lower"),
    ),
    tables=(
        Table("quality", "Text to video on small clips", rows=("dataset", "model", "serial", "decay", "steps"),
              metrics=("nll", "passes", "digit_accuracy", "digit_accuracy_low", "direction_accuracy", "direction_accuracy_low",
                       "motion_error", "change_ratio"),
              fill=_TRAIN,
              note="FVD, LPIPS and the sizes of the paper's models are not transcribed. nll of the masked model is of masked "
                   "codes at random rates, which is not comparable with that of the others. steps: of training; "
                   "compare rows of equal steps.",
              order={"model": ["retnet", "transformer", "masked"], "serial": ["token", "embedding", "none"]}),
        Table("loss", "Negative log likelihood by what is predicted", of="quality",
              rows=("dataset", "model", "serial", "decay", "steps"),
              metrics=("parameters", "nll", "unigram_nll", "first_frame_nll", "later_frames_nll", "shuffled_nll"),
              fill=_TRAIN, order={"model": ["retnet", "transformer", "masked"], "serial": ["token", "embedding", "none"]}),
        Table("frames", "Negative log likelihood by frame", rows=("dataset", "model", "serial", "decay", "steps"),
              columns="frame", metrics=("nll",), fill=_TRAIN,
              order={"serial": ["token", "embedding", "none"]}),
        Table("tokenizer", "Frames as codes", rows=("dataset", "tokenizer", "codes", "patch"),
              metrics=("tokenizer_psnr", "perplexity", "digit_accuracy"),
              fill="effml run flashvideo --dataset {dataset} tokenizer.kind={tokenizer} tokenizer.codes={codes}",
              note="digit_accuracy: of real validation clips after the tokenizer, the ceiling of any model behind it."),
        Table("decode", "Time of one more token", rows=("part", "batch", "length"), columns="provider",
              metrics=("token_seconds",), fill=_DECODE,
              note="part core: one layer's attention or retention alone; model: the whole network. The masked model makes "
                   "all tokens at once: its passes' time divided by the length.",
              order={"provider": ["retnet", "transformer cached", "transformer uncached", "masked"]}),
        Table("memory", "What is kept of the tokens so far", rows=("batch", "length"), columns="provider",
              metrics=("state_bytes",), fill=_DECODE),
        Table("speedup", "RetNet against each baseline, token by token", rows=("part", "batch", "length"), columns="baseline",
              metrics=("speedup", "at_roofs"), fill=_DECODE),
        Table("clip", "Time of a whole clip of so many tokens", rows=("part", "batch", "length"), columns="provider",
              metrics=("clip_seconds",), fill="effml run flashvideo suite=decode",
              note="Summed over its tokens, their times interpolated between measured lengths."),
        Table("headline", "Where 9.17x holds", rows=("baseline", "part", "batch"),
              metrics=("speedup", "crossing", "growth"), fill="effml run flashvideo suite=decode",
              note="The abstract's 9.17x names neither length nor batch nor whether its transformer kept a cache. speedup: of a "
                   "whole clip at the greatest length measured; crossing: blank where 9.17 is not reached."),
        Table("interpolation", "Redundant-free interpolation", rows=("clip", "method", "criterion", "gap", "dilation"),
              metrics=("skipped", "speedup", "dense_psnr", "psnr", "psnr_loss", "difference_max"),
              fill="effml run flashvideo suite=interpolate --dataset {clip}",
              note="The most that skipping can win is 1 / (1 - skipped), if deciding were free."),
        Table("kernel", "The operator alone", rows=("pass", "shape", "dtype", "provider"),
              metrics=("seconds", "speedup", "scaled_error", "share_of_bound"), fill="effml run flashvideo suite=kernel",
              note="speedup over causal SDPA of the same shape, which computes another function at O(T^2)."),
    ),
    timed=lambda config: config.suite != "train",
    cost=_cost,
    plots=(
        Plot("token", "Time of one more token", "decode", "line", "length", "token_seconds",
             series=("part", "batch", "provider"), log="xy"),
        Plot("memory", "What is kept of the tokens so far", "memory", "line", "length", "state_bytes",
             series=("batch", "provider"), log="xy"),
        Plot("frames", "Negative log likelihood by frame", "frames", "line", "frame", "nll",
             series=("model", "serial", "decay", "steps")),
        Plot("interpolation", "What skipping saves and costs", "interpolation", "scatter", "skipped", "psnr_loss",
             series=("clip", "method")),
    ),
)  # fmt: skip
