"""Puzzles: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet, Pinned

HERE = "effml.experiments.data.puzzles"
TOT = "https://raw.githubusercontent.com/princeton-nlp/tree-of-thought-llm/ab400345c5ea39d28ea6d7d3be0e417b11113c87"
LOGS = f"{TOT}/logs/game24"

GENERATED = [
    DataSet(
        name=name,
        kind="puzzles",
        origin="generated",
        title=title,
        licence="Apache-2.0",
        source="a fixed seed; the problems are pinned by their checksum",
        loader=f"{HERE}.reasoning:{name.replace('-', '_')}",
    )
    for name, title in (
        ("polynomials", "100 polynomials of degree 3 to 6: find all roots, repeated and complex ones included"),
        ("polynomials-easy", "100 polynomials of degree 2 and 3"),
        ("sequences", "100 recurrences of second order or with a linear term: find the closed formula"),
        ("sequences-easy", "100 recurrences a(n+1) = p a(n) + q"),
    )
]

DATASETS = [
    DataSet(
        name="game24-hard",
        kind="puzzles",
        origin="bundled",
        title="the 100 puzzles of the game of 24 on which Tree and Graph of Thoughts were measured: ranks 901 to 1000",
        licence="MIT",
        source="this package; from princeton-nlp/tree-of-thought-llm at ab40034",
        loader=f"{HERE}.reasoning:game24_hard",
    ),
    *GENERATED,
    DataSet(
        name="game24",
        kind="puzzles",
        origin="download",
        title="1,362 puzzles of the game of 24, ranked by how hard people find them",
        licence="MIT",
        source="princeton-nlp/tree-of-thought-llm at ab40034",
        loader=f"{HERE}.game24:load",
        size=48_235,
        files=(
            Pinned(
                "game24/24.csv",
                "b9f12b3e36d987a3c714c4cef17d89a137d7c59da26532fcfb93b4821d8111b5",
                48_235,
                f"{TOT}/src/tot/data/24/24.csv",
            ),
        ),
    ),
    DataSet(
        name="game24-gpt4",
        kind="puzzles",
        origin="download",
        title="GPT-4 on 100 puzzles, recorded: IO and CoT with 100 samples each, ToT with all its steps",
        licence="MIT",
        source="princeton-nlp/tree-of-thought-llm at ab40034",
        loader=f"{HERE}.game24:gpt4",
        size=3_630_000,
        files=(
            Pinned(
                "game24/gpt-4_0.7_naive_cot_sample_100_start900_end1000.json.gz",
                "fd2850ed9f9265129d9dca1d9de306e2026bdf0e367668eb99146e64922d6824",
                1_385_874,
                f"{LOGS}/gpt-4_0.7_naive_cot_sample_100_start900_end1000.json",
                form="gz",
            ),
            Pinned(
                "game24/gpt-4_0.7_naive_standard_sample_100_start900_end1000.json.gz",
                "1147c5c0bd61d59ce7320bb11dd2b897f56cf19e1dade865bf4649f63173169d",
                681_441,
                f"{LOGS}/gpt-4_0.7_naive_standard_sample_100_start900_end1000.json",
                form="gz",
            ),
            Pinned(
                "game24/gpt-4_0.7_propose1_value3_greedy5_start900_end1000.json.gz",
                "e08f019024c99e83e540f8feec99acf619f30b0cf047278a03f62ff45888571b",
                1_558_836,
                f"{LOGS}/gpt-4_0.7_propose1_value3_greedy5_start900_end1000.json",
                form="gz",
            ),
        ),
    ),
    DataSet(
        name="puzzle-file",
        kind="puzzles",
        origin="file",
        title="your own puzzles: a CSV with a column puzzle, or one a line",
        licence="yours",
        source="you",
        loader=f"{HERE}.game24:own",
        own=True,
    ),
]
