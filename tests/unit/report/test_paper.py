import re

import pandas as pd
import pytest

from caft.report.paper_tables import escape_latex, escape_markdown, latex, markdown


def row(strategy, mode, trained, accuracy, **other):
    return {
        "dataset": "sums",
        "student": "tiny",
        "strategy": strategy,
        "mode": mode,
        "trained_mode": trained,
        "n": 20,
        "n_seeds": 1,
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.1,
        "accuracy_high": accuracy + 0.1,
        "accuracy_easy": 0.9,
        "accuracy_medium": accuracy,
        "accuracy_hard": float("nan"),
        "accuracy_sd": float("nan"),
        "teacher_completion_tokens": 0,
        "metric_cost_usd": 0.0,
        "cost_usd": 0.0,
        "target_tokens": 1234,
        **other,
    }


@pytest.fixture
def summary():
    return pd.DataFrame(
        [
            row("base", "direct", "direct", 0.25),
            row("distill", "direct", "cot", 0.25, teacher_completion_tokens=5000, cost_usd=0.004),
            row("distill", "cot", "cot", 0.5004, cost_usd=float("nan")),
            row("mixed", "cot", "cot", 0.5001, cost_usd=1.5),
        ]
    )


def cells(text):
    """The table's rows as lists of cells, from Markdown or LaTeX."""
    if text.startswith("%"):
        body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
        return [re.split(r" & ", line.removesuffix(r" \\")) for line in body.splitlines()]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r" \| ", line[2:-2]) for line in lines[2:]]


def test_a_row_shows_accuracy_with_interval_buckets_and_costs(summary):
    base, distilled, *_ = cells(markdown(summary))
    assert base == [
        *("base", "direct", r"0.250 \[0.150, 0.350\]", "**0.900**", "0.250", "-"),
        *("0", "0", "1,234"),
    ]
    assert distilled[-3:] == ["5,000", "0.004", "1,234"]


def test_latex_has_the_same_cells_in_booktabs(summary):
    text = latex(summary)
    assert [line[3:6] for line in cells(text)] == [
        [r"\textbf{0.900}", "0.250", "-"],
        [r"\textbf{0.900}", "0.250", "-"],
        [r"\textbf{0.900}", r"\textbf{0.500}", "-"],
        [r"\textbf{0.900}", r"\textbf{0.500}", "-"],
    ]
    for command in ("\\toprule", "\\midrule", "\\bottomrule", "\\label{tab:sums-tiny}"):
        assert text.count(command) == 1
    assert r"\caption{Accuracy of tiny on sums (20 items) with 95\% intervals over items" in text


def test_accuracies_that_look_alike_are_both_the_best(summary):
    shown = [line[2] for line in cells(markdown(summary))]
    assert [text.startswith("**0.500") for text in shown] == [False, False, True, True]


def test_the_mode_that_a_strategy_was_trained_for_is_marked_but_not_for_the_untuned(summary):
    assert [line[1] for line in cells(markdown(summary))] == ["direct", "direct", "cot †", "cot †"]
    assert [line[1] for line in cells(latex(summary))][2] == r"cot \textsuperscript{\dag}"


def test_an_unknown_cost_is_unknown_and_not_nothing(summary):
    assert [line[-2] for line in cells(markdown(summary))] == ["0", "0.004", "unknown", "1.50"]


def test_a_spread_over_seeds_is_shown_where_there_are_several(summary):
    assert "standard deviation" not in markdown(summary)
    assert "over items alone (at most one training of each), by" in markdown(summary)
    seeds = summary.assign(accuracy_sd=[None, 0.01, 0.012, 0.02], n_seeds=[1, 3, 3, 3])
    text = markdown(seeds)
    first, second, _, _ = cells(text)
    assert first[2].startswith("0.250 \\[") and second[2].startswith("0.250 ± 0.010 \\[")
    assert "over items and 3 training seeds (± standard deviation over seeds), by" in text
    assert r"0.250 $\pm$ 0.010 [0.150, 0.350]" in latex(seeds)


def test_each_data_set_and_student_has_a_table_of_its_own(summary):
    both = pd.concat([summary, summary.assign(student="small")])
    assert markdown(both).count("| Strategy |") == 2
    labels = re.findall(r"\\label\{(.+)\}", latex(both))
    assert labels == ["tab:sums-tiny", "tab:sums-small"]


@pytest.mark.parametrize(
    ("text", "as_markdown", "as_latex"),
    [
        ("a_b & 5%", r"a\_b &amp; 5%", r"a\_b \& 5\%"),
        ("a|b\nc", r"a\|b c", r"a\textbar{}b c"),
        ("<script>", "&lt;script&gt;", r"\textless{}script\textgreater{}"),
        (r"\input{x}$~^#", r"\\input{x}\$\~^\#", None),
        ("[x](y) `z` *s*", r"\[x\](y) \`z\` \*s\*", "[x](y) `z` *s*"),
    ],
)
def test_names_are_text_whatever_they_hold(text, as_markdown, as_latex):
    assert escape_markdown(text) == as_markdown
    dangerous = r"\textbackslash{}input\{x\}\$\textasciitilde{}\textasciicircum{}\#"
    assert escape_latex(text) == (as_latex or dangerous)


def test_a_dangerous_name_stays_in_its_cell(summary):
    odd = summary.assign(strategy="a_b & c | d", student="x%y")
    assert cells(markdown(odd))[0][0] == r"a\_b &amp; c \| d"
    assert cells(latex(odd))[0][0] == r"a\_b \& c \textbar{} d"
    assert r"\caption{Accuracy of x\%y on" in latex(odd)
