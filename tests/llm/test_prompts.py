from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.benchmarks.registry import SCENARIOS, benchmark, scenario, scenarios
from surrobench.errors import DataError
from surrobench.llm import prompts
from surrobench.llm.prompt_variants import ShownSpace, Variant, shown_card
from surrobench.llm.prompts import COMMON, number, prompts_hash, render
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.space.hyperparameter import values_of
from tests.llm.templates import forget_templates


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of prompts for the method ``m``."""
    monkeypatch.setattr(prompts, "data_dir", lambda name: tmp_path)
    forget_templates()
    (tmp_path / "m").mkdir()
    (tmp_path / COMMON).mkdir()
    (tmp_path / COMMON / "space.jinja").write_text("shared by all methods")
    return tmp_path / "m"


@pytest.fixture(autouse=True)
def _fresh_caches() -> None:
    forget_templates()


def hash_of(folder: Path, **files: str) -> str:
    for file in folder.iterdir():
        file.unlink()
    for name, text in files.items():
        (folder / f"{name}.jinja").write_text(text)
    forget_templates()
    return prompts_hash("m")


# ---------------------------------------------------------------------- templates


@pytest.mark.parametrize("id_", [f"{key}/{scenario(key).instances[0]}" for key in scenarios()])
def test_the_head_renders_for_every_benchmark(id_: str) -> None:
    where = benchmark(id_)
    view = ShownSpace(where.space)
    text = render("karpathy-agent", "head", card=where.card, view=view)
    assert str(where.card.dataset) in text
    assert where.card.metric in text
    for shown in view.values:
        assert f"- {shown.hp.name}: {shown.describe()}" in text
    assert "None" not in text
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize("method", [entry.prompts for entry in OPTIMIZERS.values() if entry.prompts])
def test_every_method_that_needs_prompts_has_them(method: str) -> None:
    assert len(prompts_hash(method)) == 16


def test_a_variable_that_is_not_given_is_an_error(folder: Path) -> None:
    (folder / "trial.jinja").write_text("{{ configuration }} -> {{ outcome }}")
    with pytest.raises(jinja2.UndefinedError, match="outcome"):
        render("m", "trial", configuration="{}")


def test_text_is_not_escaped_as_html(folder: Path) -> None:
    (folder / "t.jinja").write_text("{{ text }}")
    assert render("m", "t", text='{"a": "<b> & c"}') == '{"a": "<b> & c"}'


def test_lines_of_template_logic_leave_no_empty_lines(folder: Path) -> None:
    (folder / "t.jinja").write_text("a\n  {% if true %}\nb\n  {% endif %}\nc\n")
    assert render("m", "t") == "a\nb\nc"


@pytest.mark.parametrize("id_", [f"{key}/{scenario(key).instances[0]}" for key in scenarios()])
def test_a_variant_shows_nothing_that_it_hides(id_: str) -> None:
    where = benchmark(id_)

    def head(variant: Variant) -> str:
        view = ShownSpace(where.space, variant)
        return render("karpathy-agent", "head", card=shown_card(where.card, variant), view=view)

    without, anonymous, misleading = head("no-dataset"), head("anonymous"), head("misleading")
    assert "Data set" not in without
    assert str(where.card.dataset) not in without
    assert str(where.card.learner) in without
    for word in (where.card.dataset, where.card.learner, where.card.metric, *where.space.names):
        assert not re.search(rf"\b{re.escape(str(word))}\b", anonymous)
    assert f"black box with {where.space.d} hyperparameters" in anonymous
    assert all(f"- {name}: " in misleading for name in where.space.names)
    assert misleading != head("full")
    for text in (without, anonymous, misleading):
        assert "None" not in text
        assert "{" not in text


# ---------------------------------------------------------------------- hash


def test_the_hash_depends_on_the_text_of_every_template(folder: Path) -> None:
    before = hash_of(folder, head="a", question="b")
    assert hash_of(folder, head="a", question="b") == before
    changed = [
        hash_of(folder, head="a", question="c"),
        hash_of(folder, head="a ", question="b"),
        hash_of(folder, head="b", question="a"),
        hash_of(folder, head="a", answer="b"),
        hash_of(folder, head="a"),
        hash_of(folder, head="a", question="b", trial=""),
        hash_of(folder, head="aquestion", question=""),
    ]
    assert len({before, *changed}) == len(changed) + 1


def test_the_hash_depends_on_what_all_methods_share(folder: Path) -> None:
    before = hash_of(folder, head="a")
    (folder.parent / COMMON / "space.jinja").write_text("said otherwise")
    assert hash_of(folder, head="a") != before


def test_the_hash_ignores_files_that_are_no_templates(folder: Path) -> None:
    before = hash_of(folder, head="a")
    (folder / "README.md").write_text("notes")
    forget_templates()
    assert prompts_hash("m") == before


def test_a_method_without_templates_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(DataError, match="No prompt templates"):
        prompts_hash("m")
    with pytest.raises(DataError, match="No prompt templates"):
        prompts_hash("nothing")


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize("key", SCENARIOS)
def test_three_digits_tell_all_values_of_the_tables_apart(key: str) -> None:
    for hp in scenario(key).space.hyperparameters:
        choices = values_of(hp) or []
        assert len(choices) > 1
        assert len({number(choice) for choice in choices}) == len(choices)
        assert len({str(number(choice)) for choice in choices}) == len(choices)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00027825593, 0.000278), (1234.5, 1230.0), (0.1, 0.1), (-2.0 / 3, -0.667), (5e-324, 5e-324)],
)
def test_floats_are_shown_with_three_significant_digits(value: float, shown: float) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("value", [123456, True, "relu", None])
def test_what_is_no_float_is_shown_as_it_is(value: object) -> None:
    assert number(value) is value


@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_a_shown_number_is_near_and_shown_the_same_again(value: float) -> None:
    assert number(number(value)) == number(value)
    assert abs(number(value) - value) <= 0.0051 * abs(value)
