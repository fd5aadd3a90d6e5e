"""Plots and the page: the same bytes for the same rows, every point in the CSV, nothing from the network."""

import re
import shutil
import subprocess

import pytest


@pytest.fixture
def measured(effml):
    for seed in "01":
        for k in "248":
            effml("run", "toy", "suite=all", f"model.k={k}", "--seed", seed)
    return effml


def test_figures_are_stable_and_carry_their_points(measured):
    assert measured("plot", "all").code == 0
    folder = measured.results / "figures"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in first if name.endswith(".csv")} == {"toy.accuracy.csv", "toy.time.csv"}
    assert first["toy.accuracy.csv"].decode().splitlines()[0] == "series,k,accuracy,sd,evidence,device"
    assert len(first["toy.accuracy.csv"].decode().splitlines()) == 4
    measured("plot", "all")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_page_is_self_contained(measured):
    assert measured("report").code == 0
    page = (measured.results / "report.html").read_text()
    assert not re.search(r'(src|href)="https?:', page)
    assert "toy.quality" in page and "data:image/png;base64," in page and "runs behind this table" in page
    assert "~0.9900" in page  # a recalled number keeps its mark


def test_unknown_plot_is_named(measured):
    assert "did you mean toy.accuracy" in measured("plot", "toy.acuracy").err


@pytest.mark.slow
def test_page_opens_in_a_browser_without_errors(measured, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium; apt-get install chromium")
    measured("report")
    page = measured.results / "report.html"
    probe = tmp_path / "probe.html"
    script = "<script>window.onload=()=>{const bad=[...document.images].filter(i=>!i.complete||!i.naturalWidth).length;"
    script += "const wide=document.body.scrollWidth>innerWidth;"
    script += "document.title='images '+document.images.length+' bad '+bad+' overflow '+wide}</script>"
    probe.write_text(page.read_text().replace('loading="lazy"', "").replace("</body>", script + "</body>"))
    for width in (1280, 400):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom",
                   "--enable-logging=stderr", f"--user-data-dir={tmp_path / str(width)}", f"--window-size={width},900",
                   f"file://{probe}"]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        title = re.search(r"<title>(.*?)</title>", ended.stdout).group(1)
        assert title.startswith("images ") and " bad 0" in title and title.endswith("overflow false")
        assert "CONSOLE" not in ended.stderr


def test_words_among_numbers_are_levels():
    """k = 8, 16 and relu on one axis: the numbers are points, the word a line to compare with."""
    from effml.experiments.core.plots import Point, render
    from effml.experiments.core.spec import Plot

    plot = Plot("p", "title", "t", "line", "k", "accuracy", series=("model",))
    shown = [Point("sage", x, y, None, "measured", "cpu") for x, y in ((8, 0.9), (16, 0.95), ("relu", 0.94))]
    axes = render(plot, shown).axes[0]
    assert list(axes.lines[0].get_xdata()) == [8, 16]
    assert "sage relu" in axes.get_legend_handles_labels()[1]


@pytest.mark.parametrize("kind", ["line", "scatter", "bar"])
def test_no_two_of_many_series_look_the_same(kind):
    from matplotlib.container import BarContainer

    from effml.experiments.core.plots import Point, render
    from effml.experiments.core.spec import Plot

    points = [Point(f"method {i}", x, float(i + x), None, "measured", "cpu") for i in range(14) for x in (1, 2)]
    (axes,) = render(Plot("p", "P", "t", kind, "x", "y", series=("method",)), points).axes
    if kind == "bar":
        looks = [
            (bars[0].get_facecolor(), bars[0].get_hatch()) for bars in axes.containers if isinstance(bars, BarContainer)
        ]
    else:
        looks = [(lines[0].get_color(), lines[0].get_marker()) for lines in axes.containers]
    assert len(looks) == 14 == len(set(looks))
