"""``surrobench plot`` on small studies, through the command line."""

from pathlib import Path

import polars as pl
import pytest

from surrobench.report.data.load import RunFilter
from surrobench.report.figures.data import load_origins, load_proposals
from surrobench.results.folder import Results
from tests.studies import FCN, MLP, run, suite_text, surrobench, trials

KINDS = ("cd", "curves", "targets", "profile", "heatmap", "wins", "proposals", "origins")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "tiny"
    text = suite_text(MLP, FCN, methods=("random", "sobol"), trials=12, seeds=3, head='initial = "default"')
    run(text, out)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(tmp_path, folder, kind):
    out = tmp_path / "figure.svg"
    done = surrobench("plot", kind, folder, "--out", out, "--benchmark", MLP)
    assert (done.status, done.out) == (0, ""), done.err
    assert out.read_text().startswith("<svg")
    assert done.err == f"Figure: {out}\n"


def test_the_old_order_still_works_and_says_so(tmp_path, folder):
    out = tmp_path / "figure.svg"
    done = surrobench("plot", folder, folder, "wins", "--out", out, "--benchmark", MLP)
    assert done.status == 0
    assert done.err == (
        f"Warning: 'plot {folder} {folder} wins' is now 'plot wins {folder} {folder}'; "
        f"the next release drops the old form.\nFigure: {out}\n"
    )
    wrong = surrobench("plot", folder, "curvs", "--out", out)
    assert (wrong.status, "Unknown kind of figure 'curvs'. Did you mean 'curves'?" in wrong.error) == (
        2,
        True,
    )


@pytest.mark.parametrize("x", ["trials", "time", "equivalents"])
def test_curves_over_what_was_spent(tmp_path, folder, x):
    done = surrobench("plot", "curves", folder, "--x", x, "--out", tmp_path / "x.svg")
    assert done.status == 0, done.err
    what = {"trials": "trials", "time": "simulated seconds", "equivalents": "full-fidelity equivalents"}[x]
    assert what in (tmp_path / "x.svg").read_text()


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    """A study of which one method was given 3 trials, the other 9."""
    out = tmp_path_factory.mktemp("results") / "unequal"
    run(suite_text(MLP, FCN, trials=9, seeds=3) + "[optimizers.sobol]\ntrials = 3\n", out)
    return out


@pytest.mark.parametrize("x", ["trials", "time"])
def test_a_profile_compares_after_the_trials_that_all_were_given(tmp_path, unequal, x):
    for name, more in (("all", ()), ("three", ("--budget", 3))):
        done = surrobench("plot", "profile", unequal, "--x", x, *more, "--out", tmp_path / f"{name}.svg")
        assert done.status == 0, done.err
    assert (tmp_path / "all.svg").read_text() == (tmp_path / "three.svg").read_text()
    assert "Performance profiles after 3 trials" in (tmp_path / "all.svg").read_text()
    surrobench("plot", "targets", unequal, "--out", tmp_path / "targets.html")
    assert "A run that has ended counts with its last incumbent." in (tmp_path / "targets.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("curvs", "--out", "x.svg"), "Did you mean 'curves'"),
        (("curves", "--out", "x.gif"), ".svg, .png, .pdf, .html"),
        (("curves", "--out", "x.svg", "--x", "tokens"), "No run has spent any tokens"),
        (("curves", "--out", "x.svg", "--measure", "rank"), "Choose the measure quantile or normalised"),
        (("proposals", "--out", "x.svg"), "--benchmark"),
        (("heatmap", "--out", "x.svg", "--method", "sobl"), "Did you mean 'sobol'"),
        (("proposals", "--out", "x.svg", "--benchmark", MLP, "--seed", "99"), "no run"),
        (("curves",), "--out"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(folder, arguments, message):
    done = surrobench("plot", arguments[0], folder, *arguments[1:])
    assert done.status != 0
    assert message in done.error
    assert not Path("x.svg").exists()


def test_origins_are_those_of_the_incumbents(folder):
    found = load_origins([Results(folder)], choice=RunFilter())
    assert found.sources == ("initial", "random", "sobol")
    assert (found.instances, found.seeds) == (2, 3)
    assert found.share.sum(axis=2) == pytest.approx(1.0)
    assert (found.share[:, 0, 0] == 1).all()  # the first trial is the default, granted to all
    rows = trials(folder).with_columns(
        loss=pl.when(pl.col("benchmark") == MLP).then(-pl.col("value")).otherwise(pl.col("value"))
    )
    for i, method in enumerate(found.methods):
        mine = rows.filter(pl.col("optimizer") == method).sort("loss", "trial")
        last = mine.unique("run", keep="first", maintain_order=True)
        share = last.group_by("benchmark").agg((pl.col("source") == "initial").mean())["source"].mean()
        assert found.share[i, -1, 0] == pytest.approx(share)


def test_proposals_are_the_trials_in_the_unit_cube(folder):
    choice = RunFilter((MLP,), ("random",))
    found = load_proposals([Results(folder)], choice=choice, seeds=(0, 2))
    assert found.values.shape == (24, len(found.axes))
    assert ((found.values >= 0) & (found.values <= 1)).all()
    assert found.seeds == 2
    assert set(found.method) == {"random"}
    assert found.source.count("initial") == 2
    assert ("alpha", "1e-8", "1") in found.axes
    mine = trials(folder).filter(
        (pl.col("benchmark") == MLP) & (pl.col("optimizer") == "random") & (pl.col("seed") != 1)
    )
    assert found.loss == pytest.approx(-mine["value"].to_numpy())


def test_of_several_folders_one_figure(tmp_path, folder):
    other = tmp_path / "other"
    run(
        suite_text(
            MLP, FCN, methods=("latin-hypercube",), trials=12, seeds=3, name="other",
            head='initial = "default"\ncontrol = "latin-hypercube"',
        ),
        other,
    )  # fmt: skip
    out = tmp_path / "x.svg"
    done = surrobench("plot", "wins", folder, other, "--control", "random", "--out", out)
    assert done.status == 0, done.err
    assert "latin-hypercube" in out.read_text()


def others(path):
    rows = [f"theirs,{name},{seed},{t},{0.5}" for name in (MLP, FCN) for seed in range(3) for t in range(12)]
    path.write_text("\n".join(["method,benchmark,seed,trial,value", *rows]) + "\n")
    return path


@pytest.mark.parametrize("kind", ["wins", "curves", "heatmap"])
def test_figures_count_what_rank_counts(tmp_path, folder, kind):
    given = (kind, folder, "--external", others(tmp_path / "o.csv"))
    for name, budget in (("all", ()), ("some", ("--budget", "3"))):
        done = surrobench("plot", *given, *budget, "--out", tmp_path / f"{name}.svg")
        assert done.status == 0, done.err
        assert "theirs" in (tmp_path / f"{name}.svg").read_text()
    assert (tmp_path / "all.svg").read_text() != (tmp_path / "some.svg").read_text()


@pytest.mark.parametrize("kind", ["proposals", "origins"])
@pytest.mark.parametrize("option", ["--external", "--budget", "--equivalents", "--seconds"])
def test_figures_of_trials_refuse_what_they_would_ignore(tmp_path, folder, kind, option):
    value = others(tmp_path / "o.csv") if option == "--external" else "3"
    done = surrobench("plot", kind, folder, option, value, "--benchmark", MLP, "--out", tmp_path / "x.svg")
    assert done.status == 2
    assert f"{option} has no meaning here" in done.error
    assert not (tmp_path / "x.svg").exists()


def test_rank_and_plot_share_their_options():
    from surrobench.cli import plot, rank

    def declared(command):
        return {param.name: param for param in command.params}

    shared = declared(rank.command).keys() & declared(plot.command).keys()
    assert shared >= {"results", "benchmarks", "methods", "models", "partial", "others", "budget"}
    assert shared >= {"equivalents", "seconds", "anchor", "alpha", "control", "blocks"}
    for name in shared:
        one, other = declared(rank.command)[name], declared(plot.command)[name]
        assert one.to_info_dict() == other.to_info_dict()
