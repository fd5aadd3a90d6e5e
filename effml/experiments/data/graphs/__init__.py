"""Graphs: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet, Pinned

HERE = "effml.experiments.data.graphs"
GITHUB = "https://raw.githubusercontent.com"
PLANETOID = f"{GITHUB}/kimiyoung/planetoid/af6abf468a772cc055bec88c52e4d6f51b7c37e3/data"
MUSAE = f"{GITHUB}/benedekrozemberczki/MUSAE/5f901232957b6c9985d750aac48cda39a4b24285/input"
LINKX = f"{GITHUB}/CUAI/Non-Homophily-Large-Scale/82f8f05c5c3ec16bd5b505cc7ad62ab5e09051e6/data"


def planetoid(*pins: tuple[str, str, int]) -> tuple[Pinned, ...]:
    return tuple(Pinned(f"planetoid/{name}", sha256, size, f"{PLANETOID}/{name}") for name, sha256, size in pins)


BUNDLED = [
    DataSet(
        name="digits-knn",
        kind="graphs",
        origin="bundled",
        title="10 nearest neighbours over 1,797 handwritten digits, 64 features, 10 classes",
        licence="CC BY 4.0",
        source="scikit-learn",
        loader=f"{HERE}.digits_knn:load",
    ),
]

PINNED = [
    DataSet(
        name="cora",
        kind="graphs",
        origin="download",
        title="citations: 2,708 papers, 10,556 edges, 1,433 features, 7 classes",
        licence="MIT",
        source="kimiyoung/planetoid at af6abf4",
        loader=f"{HERE}.planetoid:load",
        size=572444,
        files=planetoid(
            ("ind.cora.allx", "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543", 257305),
            ("ind.cora.ally", "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71", 47959),
            ("ind.cora.graph", "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d", 59847),
            ("ind.cora.test.index", "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875", 5000),
            ("ind.cora.tx", "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a", 148025),
            ("ind.cora.ty", "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad", 28135),
            ("ind.cora.x", "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab", 22119),
            ("ind.cora.y", "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1", 4054),
        ),
    ),
    DataSet(
        name="citeseer",
        kind="graphs",
        origin="download",
        title="citations: 3,327 papers, 9,104 edges, 3,703 features, 6 classes",
        licence="MIT",
        source="kimiyoung/planetoid at af6abf4",
        loader=f"{HERE}.planetoid:load",
        size=1036188,
        files=planetoid(
            ("ind.citeseer.allx", "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668", 595021),
            ("ind.citeseer.ally", "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95", 55623),
            ("ind.citeseer.graph", "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7", 61987),
            ("ind.citeseer.test.index", "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4", 5000),
            ("ind.citeseer.tx", "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21", 260321),
            ("ind.citeseer.ty", "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce", 24135),
            ("ind.citeseer.x", "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6", 31087),
            ("ind.citeseer.y", "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924", 3014),
        ),
    ),
    DataSet(
        name="musae-facebook",
        kind="graphs",
        origin="download",
        title="Facebook pages: 22,470 nodes, 341,825 edges, 4,714 binary features, 4 classes",
        licence="GPL-3.0",
        source="benedekrozemberczki/MUSAE at 5f90123",
        loader=f"{HERE}.musae:load",
        size=5149288,
        files=(
            Pinned(
                "musae/facebook_edges.csv",
                "7c50d8f02a75cc0829577814a1fc14535164daa38d79c3612340c9e9cdbd4022",
                1882610,
                f"{MUSAE}/edges/facebook_edges.csv",
            ),
            Pinned(
                "musae/facebook_features.json",
                "ea870537646a93642a0008d38aa9bfeff02018070ba97b1f3f469d9622626436",
                2088766,
                f"{MUSAE}/features/facebook.json",
            ),
            Pinned(
                "musae/facebook_target.csv",
                "7bd96eafea3c2ca40f44bfa9e73642194696c21e38c7b29ed409c32ad14075cd",
                1177912,
                f"{MUSAE}/target/facebook_target.csv",
            ),
        ),
    ),
    DataSet(
        name="cornell5",
        kind="graphs",
        origin="download",
        title="friendships at one university: 18,660 nodes, 1,581,554 edges, 6 attributes one-hot, 2 classes",
        licence="research use",
        source="CUAI/Non-Homophily-Large-Scale at 82f8f05",
        loader=f"{HERE}.facebook100:load",
        size=3543757,
        files=(
            Pinned(
                "facebook100/Cornell5.mat",
                "d9ff76ae34e855cb77b0779a3a320f7f73f848901cb13352e2734c17804c4aec",
                3543757,
                f"{LINKX}/facebook100/Cornell5.mat",
            ),
        ),
    ),
]


LAYOUTS = {"pyg": "PyG", "ogb": "OGB"}
MARKERS = {"pyg": "processed/data.pt", "ogb": "raw/edge.csv.gz"}


def through(library: str, name: str, title: str, size: int, licence: str, source: str) -> DataSet:
    """A data set that comes in the layout of PyG or OGB."""
    return DataSet(
        name=name,
        kind="graphs",
        origin="download",
        title=title,
        licence=licence,
        source=source,
        loader=f"{HERE}.{library}:load",
        size=size,
        marker=f"{library}/{name}/{MARKERS[library]}",
        fetch=f"{HERE}.{library}:fetch",
        get=f"point EFFML_DATA at a folder that holds {library}/{name} as {LAYOUTS[library]} lays it out",
    )


LIBRARIES = [
    through(
        "pyg",
        "reddit",
        "posts: 232,965 nodes, 114,615,892 edges, 602 features, 41 classes",
        1_380_000_000,
        "research use",
        "GraphSAGE (Hamilton et al., 2017), data.dgl.ai",
    ),
    through(
        "pyg",
        "flickr",
        "images: 89,250 nodes, 899,756 edges, 500 features, 7 classes",
        230_000_000,
        "research use",
        "GraphSAINT (Zeng et al., 2020)",
    ),
    through(
        "pyg",
        "yelp",
        "reviewers: 716,847 nodes, 13,954,819 edges, 300 features, 100 labels",
        2_100_000_000,
        "research use",
        "GraphSAINT (Zeng et al., 2020)",
    ),
    through(
        "pyg",
        "pyg-facebook",
        "Facebook pages, 128 dense features: another version than musae-facebook",
        15_000_000,
        "GPL-3.0",
        "AttributedGraphDataset (Yang et al., 2020), graphmining.ai",
    ),
    through(
        "ogb",
        "ogbn-arxiv",
        "papers: 169,343 nodes, 1,166,243 citations, 128 features, 40 classes",
        84_000_000,
        "ODC-BY",
        "Open Graph Benchmark",
    ),
    through(
        "ogb",
        "ogbn-products",
        "purchases: 2,449,029 nodes, 61,859,140 pairs, 100 features, 47 classes",
        1_480_000_000,
        "Amazon licence",
        "Open Graph Benchmark",
    ),
    through(
        "ogb",
        "ogbn-proteins",
        "associations: 132,534 nodes, 39,561,252 pairs, 112 labels",
        227_000_000,
        "CC0",
        "Open Graph Benchmark",
    ),
]


def generated(name: str, title: str, loader: str, source: str) -> DataSet:
    return DataSet(
        name=name, kind="graphs", origin="generated", title=title, licence="none", source=source, loader=loader
    )


GENERATED = [
    generated(
        "reddit-synthetic",
        "degree-corrected blocks in the numbers of Reddit: nodes, edges, features, classes",
        f"{HERE}.blocks:load",
        "Karrer and Newman, 2011",
    ),
    generated(
        "products-synthetic",
        "power law of degrees with the nodes and edges of ogbn-products; structure alone",
        f"{HERE}.power_law:products",
        "Chung and Lu, 2002",
    ),
    generated(
        "chung-lu",
        "power law of degrees, any size (200,000 nodes, 12 million edges); structure alone",
        f"{HERE}.power_law:chung_lu",
        "Chung and Lu, 2002",
    ),
]

# Nodes and edges of the originals, which their twins share.
TWINS = {
    "am": (881_680, 5_668_682),
    "amazon0601": (403_394, 5_478_357),
    "artist": (50_515, 1_638_396),
    "arxiv": (169_343, 1_166_243),
    "citation": (2_927_963, 30_387_995),
    "collab": (235_868, 2_358_104),
    "com-amazon": (334_863, 1_851_744),
    "ovcar-8h": (1_889_542, 3_946_402),
    "ppa": (576_289, 42_463_862),
    "pubmed": (19_717, 99_203),
    "sw-620h": (1_888_584, 3_944_206),
    "twitter-real-graph-partial": (580_768, 1_435_116),
    "wikikg2": (2_500_604, 16_109_182),
    "yeast": (1_710_902, 3_636_546),
    "yelp": (716_847, 13_954_819),
    "youtube": (1_138_499, 5_980_886),
}

GENERATED += [
    generated(
        f"twin-{name}",
        f"{nodes:,} nodes, {edges:,} edges with exactly the degrees of {name}; structure alone",
        f"{HERE}.twins:load",
        "degree histogram from xiexi51/ICCAD-Accel-GCN at 7d889b0",
    )
    for name, (nodes, edges) in TWINS.items()
]

OWN = [
    DataSet(
        name="graph-file",
        kind="graphs",
        origin="file",
        title="your own graph: .npz, Matrix Market, edge list or PyG's .pt",
        licence="yours",
        source="you",
        loader=f"{HERE}.own:load",
        own=True,
    ),
]

DATASETS = [*BUNDLED, *PINNED, *LIBRARIES, *GENERATED, *OWN]
