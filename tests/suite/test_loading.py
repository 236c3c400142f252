from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from surrobench.errors import SuiteError, UsageError
from surrobench.paths import data_dir
from surrobench.plan.planning import plan
from surrobench.results.manifest import make_manifest
from surrobench.seeding import content_hash
from surrobench.suite.loading import load_suite, parse_suite, suite_from_dict
from surrobench.suite.schema import SCHEMA_VERSION
from tests.studies import run, trials

TEXT = """\
name = "study"
benchmarks = [
    "hpobench/mlp/car",
    "hpolib/fcnet/*",
]
trials = 5
seeds = 2

[optimizers.random]

[optimizers.agent]
method = "karpathy-agent"
models = ["tiny"]

[models.tiny]
url = "http://127.0.0.1:8000/v1"
"""
SHIPPED = sorted(data_dir("suites").glob("*.toml"))


def problem(old: str, new: str) -> str:
    """What is said of the suite after one change; always one line that names the file."""
    assert TEXT.count(old) == 1
    with pytest.raises(SuiteError) as caught:
        parse_suite(TEXT.replace(old, new), "study.toml")
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert message.startswith("study.toml")
    assert "\n" not in message
    return message


# ---------------------------------------------------------------------- what is right


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_suite_is_valid_and_bears_its_files_name(path: Path) -> None:
    suite, text = load_suite(path.stem)
    assert suite.name == path.stem
    assert suite.description
    assert text == path.read_text()
    assert load_suite(str(path)) == (suite, text)


def test_a_suite_may_state_its_schema_and_stays_the_same_study() -> None:
    stated, plain = parse_suite(f"schema = {SCHEMA_VERSION}\n{TEXT}"), parse_suite(TEXT)
    assert stated == plain
    assert [run.id for run in plan(stated)] == [run.id for run in plan(plain)]
    hashes = [make_manifest(plan(suite), "")["suite"]["hash"] for suite in (stated, plain)]
    assert hashes[0] == hashes[1] == content_hash(plain.model_dump(mode="json"))
    assert not {"schema", "schema_version"} & plain.model_dump(mode="json").keys()


def test_a_suite_of_a_newer_schema_is_refused_before_its_keys_are() -> None:
    newer = f"schema = {SCHEMA_VERSION + 1}"
    says = problem('name = "study"', f'{newer}\nname = "study"\nnewer_key = 1')
    assert says == f"study.toml is written for a newer surrobench (line 1: {newer}). Upgrade surrobench."
    with pytest.raises(SuiteError, match=r"^The suite is written for a newer surrobench\. Upgrade"):
        suite_from_dict({"schema": SCHEMA_VERSION + 1, "name": "study"})


@pytest.mark.parametrize("wrong", ['"1"', "0", "1.5", "true"])
def test_a_schema_is_a_positive_integer(wrong: str) -> None:
    assert "schema: " in problem('name = "study"', f'schema = {wrong}\nname = "study"')


def test_there_are_shipped_suites() -> None:
    assert {"quick", "tabular"} <= {path.stem for path in SHIPPED}


def test_patterns_are_expanded_in_the_order_given_without_repetition() -> None:
    suite = parse_suite(TEXT.replace('"hpolib/fcnet/*"', '"hpobench/mlp/c*", "hpolib/fcnet/p*"'))
    assert suite.benchmark_ids() == [
        "hpobench/mlp/car",
        "hpobench/mlp/credit_g",
        "hpolib/fcnet/parkinsons_telemonitoring",
        "hpolib/fcnet/protein_structure",
    ]


def test_defaults_are_the_fair_ones() -> None:
    suite = parse_suite(TEXT)
    assert (suite.initial, suite.noise, suite.control, suite.invalid) == (
        "default",
        "seeded",
        "random",
        "waste",
    )


@pytest.mark.parametrize("value", ["none", "default", "random:4"])
def test_initial_designs_are_accepted(value: str) -> None:
    assert parse_suite(TEXT.replace("seeds = 2", f'seeds = 2\ninitial = "{value}"')).initial == value


# ---------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("old", "new", "key", "near", "line"),
    [
        ("trials = 5", "trails = 5", "'trails'", "trials", 6),
        ("seeds = 2", "seeds = 2\nintial = 'none'", "'intial'", "initial", 8),
        ("models = [", "modles = [", "'optimizers.agent.modles'", "models", 13),
        ("method =", "metod =", "'optimizers.agent.metod'", "method", 12),
        ("url =", "ulr =", "'models.tiny.ulr'", "url", 16),
        ("url =", 'sampilng = {}\nurl = "x"\n#', "'models.tiny.sampilng'", "sampling", 16),
    ],
)
def test_a_misspelt_key_is_named_with_its_line_and_the_near_miss(
    old: str, new: str, key: str, near: str, line: int
) -> None:
    message = problem(old, new)
    assert f"unknown key {key}" in message
    assert f"did you mean '{near}'?" in message
    assert f"(line {line}: " in message


@pytest.mark.parametrize(
    ("old", "new", "says", "line"),
    [
        ("[optimizers.random]", "[optimizers.randm]", r"optimizers\.randm: .*Did you mean 'random'", 9),
        ('"karpathy-agent"', '"karpaty-agent"', r"optimizers\.agent\.method: .*'karpathy-agent'", 12),
        (
            "[optimizers.random]",
            "[optimizers.random]\n[optimizers.tpe]\nparameters = { sartup = 3 }",
            r"optimizers\.tpe\.parameters: .*'sartup'.*Did you mean 'startup'",
            11,
        ),
        (
            "[optimizers.random]",
            "[optimizers.random]\n[optimizers.tpe.parameters]\nsartup = 3",
            r"optimizers\.tpe\.parameters: .*'sartup'.*Did you mean 'startup'",
            11,
        ),
        (
            "[optimizers.random]",
            "[optimizers.random]\n[optimizers.tpe]\nseeds = 1\nparameters.sartup = 3",
            r"optimizers\.tpe\.parameters: .*'sartup'.*Did you mean 'startup'",
            12,
        ),
        (
            "[optimizers.random]",
            "[optimizers.random]\nparameters = { strength = 3 }",
            r"optimizers\.random\.parameters: .*'strength'.*It takes none",
            10,
        ),
        ("hpobench/mlp/car", "hpobench/mlp/cra", r"benchmarks: .*'hpobench/mlp/cra'.*'hpobench/mlp/car'", 3),
        ("hpolib/fcnet/*", "hpolb/fcnet/*", r"benchmarks: .*'hpolb/fcnet/\*'.*Did you mean 'hpolib/fcnet", 4),
        ("trials = 5", "trials = 0", r"trials: .*not 0", 6),
        ("trials = 5", "trials = 2.5", r"trials: .*not 2\.5", 6),
        ("seeds = 2", "seeds = -1", r"seeds: .*not -1", 7),
        ("seeds = 2", 'seeds = "two"', r"seeds: .*not 'two'", 7),
        ("[optimizers.random]", "[optimizers.random]\nseeds = 0", r"optimizers\.random\.seeds: .*not 0", 10),
        ("seeds = 2", 'seeds = 2\ncontrol = "rndom"', r"control 'rndom'; did you mean 'random'", 8),
        ("seeds = 2", 'seeds = 2\ncontrol = "tpe"', r"control 'tpe'", 8),
        ("seeds = 2", 'seeds = 2\nnoise = "seded"', r"noise: .*'seeded'.*not 'seded'", 8),
        ("seeds = 2", 'seeds = 2\ninitial = "random:5"', r"initial = 'random:5' leaves nothing of 5", 8),
        ("seeds = 2", 'seeds = 2\ninitial = "random:0"', r"initial: .*not 'random:0'", 8),
        ("seeds = 2", 'seeds = 2\ninvalid = "random"', r"invalid: .*not 'random'", 8),
        ('models = ["tiny"]', 'models = ["tny"]', r"model of optimizers\.agent 'tny'; .*'tiny'", 13),
        ('models = ["tiny"]', "", r"optimizers\.agent needs a language model: add models", 11),
        (
            "[optimizers.random]",
            '[optimizers.random]\nmodels = ["tiny"]',
            r"optimizers\.random takes no language model",
            10,
        ),
        ('url = "http://127.0.0.1:8000/v1"', "", r"models\.tiny: give either url = .* or serve = ", 15),
        ("url =", 'serve = "embedded"\nurl =', r"models\.tiny: give either url = .* or serve = ", 15),
        ("url =", "concurrency = 0\nurl =", r"models\.tiny\.concurrency: .*not 0", 16),
        ("url =", 'structured = "yaml"\nurl =', r"models\.tiny\.structured: .*not 'yaml'", 16),
        ('"study"', '"My Study"', r"name: .*not 'My Study'", 1),
    ],
)
def test_a_wrong_value_is_named_with_its_line(old: str, new: str, says: str, line: int) -> None:
    message = problem(old, new)
    assert re.search(says, message), message
    assert f"(line {line}: " in message


def test_a_missing_key_is_named() -> None:
    assert "a budget is missing: add trials, equivalents or seconds" in problem("trials = 5", "")
    assert "seeds is missing" in problem("seeds = 2\n", "")


def test_a_control_that_is_not_written_down_must_be_there_too() -> None:
    assert "unknown control 'random'" in problem("[optimizers.random]", "[optimizers.tpe]")


def test_what_is_not_toml_is_said_to_be_so_with_its_line() -> None:
    assert re.search(r"study\.toml is not TOML: .*line 6", problem("trials = 5", "trials 5"))


# ---------------------------------------------------------------------- files


def test_a_suite_is_read_from_any_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    assert load_suite(str(path))[0] == parse_suite(TEXT)


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace("trials", "trails"))
    with pytest.raises(SuiteError, match=re.escape(f"{path}: unknown key 'trails'")):
        load_suite(str(path))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("qick", "No suite 'qick'. Did you mean 'quick'?"),
        ("tabulr.toml", "No suite 'tabulr.toml'. Did you mean 'tabular'?"),
        ("nothing-like-it", "quick"),
        ("quick.yaml", "No suite 'quick.yaml'"),
    ],
)
def test_an_unknown_suite_is_named_with_the_near_miss_and_the_known_ones(name: str, says: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(name)
    assert says in str(caught.value)
    assert "tabular" in caught.value.remedy


def test_a_file_that_is_no_text_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(SuiteError, match="cannot be read"):
        load_suite(str(path))


def test_a_file_that_may_not_be_read_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret.toml"
    path.write_text(TEXT)

    def refuse(self: Path, *args: object, **kwargs: object) -> str:
        raise PermissionError(13, "Permission denied", str(self))  # whom root would not be told

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SuiteError, match=r"cannot be read: .*Permission denied"):
        load_suite(str(path))


# ---------------------------------------------------------------------- claims

CLAIM = """
[claims.agent-wins]
says = "the agent beats random search"
better = "agent"
than = ["random"]
after = 4
"""


def claim_problem(old: str, new: str) -> str:
    """What is said of the suite with the claim after one change."""
    assert CLAIM.count(old) == 1
    with pytest.raises(SuiteError) as caught:
        parse_suite(TEXT + CLAIM.replace(old, new), "study.toml")
    return str(caught.value)


def test_a_claim_names_labels_or_one_model_of_a_label() -> None:
    (claim,) = parse_suite(TEXT + CLAIM).claims.values()
    assert (claim.better, claim.than, claim.metric, claim.test) == (
        ["agent"],
        ["random"],
        "quantile",
        "wilcoxon",
    )
    assert claim.region == (0, float("inf"))
    one = parse_suite(TEXT + CLAIM.replace('"agent"', '"agent (tiny)"')).claims["agent-wins"]
    assert one.better == ["agent (tiny)"]


@pytest.mark.parametrize(
    ("keys", "region", "pairs"),
    [
        ('better = "agent"\nthan = "random"\nmargin = 0.1', (0.1, float("inf")), 1),
        ('no_worse = "agent"\nthan = "random"\nmargin = 0.1', (-0.1, float("inf")), 1),
        ('equal = "agent"\nto = "random"\nmargin = 0.1', (-0.1, 0.1), 1),
        (
            'gap = { better = "agent", than = "random" }\n'
            'smaller_than = { better = "agent (tiny)", than = "random" }',
            (0, float("inf")),
            2,
        ),
    ],
)
def test_the_four_forms_of_a_claim(keys: str, region: tuple[float, float], pairs: int) -> None:
    claim = parse_suite(f'{TEXT}\n[claims.c]\nsays = "so"\n{keys}\n').claims["c"]
    assert claim.region == region
    assert len(claim.pairs) == pairs


@pytest.mark.parametrize(
    ("old", "new", "says", "line"),
    [
        ("better =", "beter =", "unknown key 'claims.agent-wins.beter'; did you mean 'better'", 20),
        ('"agent"', '"agnt"', "unknown method of claims.agent-wins 'agnt'; did you mean 'agent'", 20),
        ('["random"]', '["random", "tpe"]', "unknown method of claims.agent-wins 'tpe'", 21),
        ("after = 4", "after = 6", "after = 6, but agent has 5 trials", 22),
        ("after = 4", "after = 1", "after = 1, but all start with 'default'", 22),
        ("after = 4", 'metric = "quantle"', r"metric: .*'quantile'.*not 'quantle'", 22),
        ("after = 4", "margin = 0", r"margin: .*not 0", 22),
        ("after = 4", 'test = "t"', r"test: .*'wilcoxon', 'sign' or 'mean', not 't'", 22),
        ("better =", "no_worse =", "no_worse needs a margin: how large a difference in quantile", 18),
        ("better =", "equal =", "equal needs to beside it", 18),
        ('than = ["random"]', "", "better needs than beside it", 18),
        ('better = "agent"', "", "give one of better, no_worse, equal and gap, not none", 18),
        ("after = 4", 'equal = "agent"', "not better and equal", 18),
        ("after = 4", 'to = "random"', "better goes with than, not with to", 18),
        ('["random"]', '["random", "agent"]', "agent is on both sides", 18),
        ("better =", 'gap = { betr = "agent" }\nbetter =', r"unknown key .*betr'; did you mean 'better'", 20),
    ],
)
def test_a_wrong_claim_is_named_with_its_line_and_the_near_miss(
    old: str, new: str, says: str, line: int
) -> None:
    message = claim_problem(old, new)
    assert re.search(says, message), message
    assert f"(line {line}: " in message, message


def test_a_claim_says_something() -> None:
    assert "claims.agent-wins.says is missing" in claim_problem('says = "the agent beats random search"', "")


@pytest.mark.parametrize("name", ["ferreira2026", "default-seed"])
def test_the_suites_that_repeat_a_study_state_claims(name: str) -> None:
    suite, text = load_suite(name)
    assert len(suite.claims) >= 3
    assert "arXiv" in text
    assert suite.initial == "default"


# ---------------------------------------------------------------------- a start from a file

GIVEN = """\
benchmark,seed,trial,config.alpha,config.batch_size,config.depth,config.learning_rate_init,config.width
hpobench/mlp/car,0,2,1.0,4,2,1.0,16
hpobench/mlp/car,0,1,1.0,4,1,1.0,16
hpobench/mlp/car,1,1,1.0,4,3,1.0,16
"""
FROM_FILE = """\
name = "study"
benchmarks = ["hpobench/mlp/car"]
trials = 5
seeds = 2
initial = "file:{file}"

[optimizers.random]
[optimizers.sobol]
"""


def from_file(folder: Path, rows: str = GIVEN) -> str:
    (folder / "start.csv").write_text(rows)
    return FROM_FILE.format(file=folder / "start.csv")


def test_a_start_from_a_file_is_every_methods_first_trials(tmp_path: Path) -> None:
    run(from_file(tmp_path), tmp_path / "out", jobs=1)
    got = trials(tmp_path / "out", "hpobench/mlp")
    for method in ("random", "sobol"):
        mine = got.filter(pl.col("optimizer") == method)
        start = mine.filter(pl.col("source") == "initial")
        assert start.select("seed", "trial", "config.depth").rows() == [(0, 0, 1), (0, 1, 2), (1, 0, 3)]
        assert mine.group_by("seed").len().sort("seed")["len"].to_list() == [5, 5]
    # Noise is common to the methods, as with any other start.
    values = got.filter(pl.col("source") == "initial").partition_by("optimizer", maintain_order=True)
    assert values[0]["value"].equals(values[1]["value"])


def test_a_start_is_known_by_its_content_not_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    here, there = (plan(parse_suite(from_file(tmp_path / folder))) for folder in "ab")
    assert [run.id for run in here] == [run.id for run in there]
    assert [run.initial for run in here] == [run.initial for run in there]
    edited = plan(parse_suite(from_file(tmp_path / "b", GIVEN.replace("4,3,1.0", "4,2,1.0"))))
    assert not {run.id for run in edited} & {run.id for run in here}


def test_a_start_is_found_beside_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "start.csv").write_text(GIVEN)
    (tmp_path / "mine" / "study.toml").write_text(FROM_FILE.format(file="start.csv"))
    monkeypatch.chdir(tmp_path)
    assert load_suite("mine/study.toml")[0].initial == f"file:{tmp_path / 'mine' / 'start.csv'}"


def test_what_a_start_lacks_is_told_in_one_line(tmp_path: Path) -> None:
    for text, says in {
        from_file(tmp_path).replace("seeds = 2", "seeds = 3"): "start.csv has no configurations for "
        "hpobench/mlp/car, seed 2. It has seeds 0, 1.",
        from_file(tmp_path).replace("car", "kc1", 1): "start.csv has no configurations for hpobench/mlp/kc1. "
        "Did you mean 'hpobench/mlp/car'?",
    }.items():
        with pytest.raises(UsageError) as caught:
            plan(parse_suite(text))
        assert str(caught.value) == says
    bad = from_file(tmp_path, GIVEN.replace("4,3,1.0", "4,7,1.0"))
    with pytest.raises(
        UsageError, match=r"start\.csv, hpobench/mlp/car, seed 1: depth = 7 is not in"
    ) as caught:
        plan(parse_suite(bad))
    assert "\n" not in str(caught.value)


def test_a_start_that_leaves_nothing_or_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    text = from_file(tmp_path)
    with pytest.raises(SuiteError, match=r"leaves nothing of 2 trials \(line 5: "):
        parse_suite(text.replace("trials = 5", "trials = 2"))
    (tmp_path / "start.csv").unlink()
    with pytest.raises(SuiteError, match=r"initial: .* cannot be read: No such file .*\(line 5: "):
        parse_suite(text)


def test_a_file_names_its_study_where_nothing_else_does(tmp_path: Path) -> None:
    text = 'benchmarks = ["hpobench/mlp/car"]\ntrials = 3\nseeds = 1\noptimizers = { random = {} }\n'
    (tmp_path / "mine.toml").write_text(text)
    assert load_suite(str(tmp_path / "mine.toml"))[0].name == "mine"
    (tmp_path / "mine.toml").write_text('name = "other"\n' + text)
    assert load_suite(str(tmp_path / "mine.toml"))[0].name == "other"
    (tmp_path / "My suite.toml").write_text(text)
    with pytest.raises(SuiteError, match="name"):
        load_suite(str(tmp_path / "My suite.toml"))
