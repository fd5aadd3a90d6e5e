"""Cell libraries: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet, Pinned

HERE = "effml.experiments.data.cells"
STA = "https://raw.githubusercontent.com/The-OpenROAD-Project/OpenSTA/d1b2b3962cd47539c748bb163da5de2bd5d2f85f/test"

DATASETS = [
    DataSet(
        name="ihp-sg13g2",
        kind="cells",
        origin="download",
        title="IHP SG13G2 standard cells, 130 nm, typical, 1.2 V, 25 C",
        licence="Apache-2.0",
        source="The-OpenROAD-Project/OpenSTA at d1b2b39",
        loader=f"{HERE}.liberty:ihp",
        size=274163,
        files=(
            Pinned(
                "liberty/sg13g2_stdcell_typ_1p20V_25C.lib.gz",
                "6f50333c719d8f324c9f8a18197e034ae531de3655002eb9d10c04f281ee0660",
                1_445_216,
                f"{STA}/ihp-sg13g2/sg13g2_stdcell_typ_1p20V_25C.lib",
                form="gz",
            ),
        ),
    ),
    DataSet(
        name="asap7",
        kind="cells",
        origin="download",
        title="ASAP7 standard cells, 7 nm predictive, RVT, slow corner: simple gates, flip-flops, inverters, buffers",
        licence="BSD-3-Clause",
        source="The-OpenROAD-Project/OpenSTA at d1b2b39",
        loader=f"{HERE}.liberty:asap7",
        size=757472,
        files=(
            Pinned(
                "liberty/asap7sc7p5t_SIMPLE_RVT_SS_nldm_211120.lib.gz",
                "29f2d9c5153299a3907df523633bb84fda8f291d90b3b0058d22ed5d67e719ee",
                2_306_707,
                f"{STA}/asap7/asap7sc7p5t_SIMPLE_RVT_SS_nldm_211120.lib.gz",
                form="gz",
            ),
            Pinned(
                "liberty/asap7sc7p5t_SEQ_RVT_SS_nldm_220123.lib.gz",
                "c6a6d9ad22bfb1bc9cf1c4ac66d09ce575ca18648ce4e50597d92174bc290d78",
                1_513_373,
                f"{STA}/asap7/asap7sc7p5t_SEQ_RVT_SS_nldm_220123.lib",
                form="gz",
            ),
            Pinned(
                "liberty/asap7sc7p5t_INVBUF_RVT_SS_nldm_220122.lib.gz",
                "971247fdbb98c969300444c440ce5a5f3bc64a17c402e2025cf09c87908e97c0",
                309_062,
                f"{STA}/asap7/asap7sc7p5t_INVBUF_RVT_SS_nldm_220122.lib.gz",
                form="gz",
            ),
        ),
    ),
    DataSet(
        name="liberty-file",
        kind="cells",
        origin="file",
        title="your own cell library: a Liberty file, or a folder of its parts",
        licence="yours",
        source="you",
        loader=f"{HERE}.liberty:own",
        own=True,
    ),
]
