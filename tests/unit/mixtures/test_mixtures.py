import pandas as pd
import pytest
from pydantic import ValidationError
from stages import changed

from caft import versions
from caft.errors import TrainingError
from caft.mixtures.rows import (
    NO_RATIONALES,
    Materials,
    count_tokens,
    membership,
    mixture_digest,
    split_over_long,
    stage_rows,
    wanted_by,
    wanted_rationales,
)
from caft.mixtures.settings import Replay, ResolvedStrategy, StageRows, Strategy, Wanted
from caft.mixtures.stages import SeededStrategy, build_stages, draft_stages
from caft.mixtures.warm_up import warm_up_rows, warm_up_sample
from caft.prompting.chat import Chat

ANSWER = {"buckets": ["easy", "medium"], "target": "answer", "epochs": 2}
RATIONALE = {"buckets": ["hard"], "target": "rationale", "epochs": 4}
MIXED = {
    "parts": [
        {"buckets": ["easy", "medium"], "target": "answer"},
        {"buckets": ["hard"], "target": "rationale"},
    ],
    "epochs": 2,
}
BUCKET = {f"i{number}": ["easy", "medium", "hard"][number % 3] for number in range(12)}


def strategy(*stages, **named):
    return Strategy.model_validate({"stages": list(stages), **named})


def rows_of(stage):
    """Return who is in a stage, without its epochs."""
    return StageRows.model_validate({key: stage[key] for key in stage if key != "epochs"})


@pytest.fixture
def items():
    rows = [
        {
            "item_id": f"i{number}",
            "question": f"{number} + 0 ?",
            "options": ["x", "y"],
            "answer": "AB"[number % 2],
            "answer_kind": "choice",
            "reference_rationale": None,
            "split": "test" if number >= 12 else "train",
        }
        for number in range(15)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def buckets():
    rows = [{"item_id": key, "bucket": name, "sampled": True} for key, name in BUCKET.items()]
    rows += [{"item_id": f"i{number}", "bucket": "hard", "sampled": False} for number in (12, 13)]
    complexity = {"easy": 0.1, "medium": 0.5, "hard": 0.9}
    return pd.DataFrame([{**row, "complexity": complexity[row["bucket"]]} for row in rows])


def texts_of(texts):
    return pd.Series(texts, name="text").to_frame()


@pytest.fixture
def rationales():
    """An accepted rationale for every hard item but i11."""
    texts = {key: f"Because of {key}, [[{'AB'[int(key[1:]) % 2]}]]" for key in ("i2", "i5", "i8")}
    return texts_of(texts)


@pytest.fixture
def build(items, buckets, rationales, letters, recipe, tokenizer):
    made_from = {
        "items": items,
        "variant": letters,
        "seed": 1,
        "chat": Chat(tokenizer),
        "revision": "r1",
        "context": 512,
        "precision": {"dtype": "auto", "attention": "sdpa"},
    }

    def build(plan, **changes):
        materials = {name: changes.pop(name, value) for name, value in made_from.items()}
        follows = {"recipe": recipe, "fallback": "drop", "teacher": "big"}
        resolved = {name: changes.pop(name, value) for name, value in follows.items()}
        seeded = SeededStrategy(
            changes.pop("name", "strategy"),
            ResolvedStrategy.model_validate({**plan.plain(), **resolved}),
            changes.pop("training_seed", 1),
        )
        tables = {"default": changes.pop("buckets", buckets)}
        written = {"big": changes.pop("rationales", rationales)}
        made_of = Materials(**materials)
        drafts = draft_stages(made_of, seeded, tables, written)
        return build_stages(made_of, drafts, seeded, **changes)

    return build


def test_an_answer_row_asks_directly_and_a_rationale_row_asks_to_think(items, rationales, letters):
    rows, missing = stage_rows(
        Materials(items, letters, 1), pd.Series(BUCKET), rows_of(MIXED), rationales, "drop"
    )
    by_item = rows.set_index("item_id")
    assert by_item.loc["i0", "messages"] == [
        {"role": "system", "content": "Letter only."},
        {"role": "user", "content": "0 + 0 ?\nA) x\nB) y"},
    ]
    assert (by_item.loc["i0", "target"], by_item.loc["i0", "completion"]) == ("answer", "A")
    assert by_item.loc["i5", "messages"][0]["content"] == "Think, [[letter]]."
    assert by_item.loc["i5", "completion"] == "Because of i5, [[B]]"
    assert missing == 1 and "i11" not in by_item.index


def test_an_item_without_a_rationale_is_dropped_or_trained_on_its_answer(
    items, rationales, letters
):
    bucket = pd.Series(BUCKET)
    dropped, missing = stage_rows(
        Materials(items, letters, 1), bucket, rows_of(RATIONALE), rationales, "drop"
    )
    assert (sorted(dropped["item_id"]), missing) == (["i2", "i5", "i8"], 1)
    kept, missing = stage_rows(
        Materials(items, letters, 1), bucket, rows_of(RATIONALE), rationales, "train_on_answer"
    )
    assert (sorted(kept["item_id"]), missing) == (["i11", "i2", "i5", "i8"], 1)
    fallback = kept.set_index("item_id").loc["i11"]
    assert (fallback["target"], fallback["completion"]) == ("answer", "B")
    assert fallback["messages"][0]["content"] == "Letter only."


def test_only_training_items_in_a_bucket_are_trained_on(build):
    (stage,) = build(strategy({**ANSWER, "buckets": ["easy", "medium", "hard"]}))
    assert set(stage.mixture["item_id"]) == set(BUCKET)


def test_a_stage_trains_on_its_own_buckets(build):
    first, second = build(strategy(ANSWER, RATIONALE))
    assert set(first.mixture["item_id"]) == {k for k, name in BUCKET.items() if name != "hard"}
    assert set(second.mixture["item_id"]) == {"i2", "i5", "i8"}
    assert second.without_rationale == 1
    assert second.parent == first.model and first.parent is None


def test_mixed_is_one_stage_with_both_targets(build):
    (stage,) = build(strategy(MIXED))
    assert stage.mixture["target"].value_counts().to_dict() == {"answer": 8, "rationale": 3}
    assert stage.mixture["item_id"].is_unique


def replayed(stage):
    return set(stage.mixture.loc[stage.mixture["target"] == "answer", "item_id"])


@pytest.mark.parametrize(("items_", "count"), [(3, 3), (0.5, 4), (0.1, 1), (99, 8)])
def test_a_stage_replays_bare_answers_of_items_of_earlier_stages(build, items_, count):
    replay = {"target": "answer", "items": items_}
    first, second = build(strategy(ANSWER, {**RATIONALE, "replay": replay}))
    assert len(replayed(second)) == count and replayed(second) <= replayed(first)
    rationales = second.mixture[second.mixture["target"] == "rationale"]
    assert set(rationales["item_id"]) == {"i2", "i5", "i8"}
    assert second.mixture["messages"].iloc[-1][0]["content"] == "Letter only."


def test_what_is_replayed_is_the_items_own_draw_and_the_seeds(build, items, buckets):
    plan = strategy(ANSWER, {**RATIONALE, "replay": {"items": 4}})
    drawn = replayed(build(plan)[1])
    more = [items, items.iloc[:1].assign(item_id="new")]
    row = {"item_id": "new", "bucket": "easy", "sampled": True}
    among = build(plan, items=pd.concat(more), buckets=pd.concat([buckets, pd.DataFrame([row])]))
    assert len(replayed(among[1]) - drawn) <= 1 and len(replayed(among[1])) == 4
    others = [replayed(build(plan, training_seed=seed)[1]) for seed in (2, 3, 4)]
    assert any(other != drawn for other in others)


def test_an_item_that_trains_on_its_answer_anyway_is_not_replayed(build):
    again = {"buckets": ["easy"], "target": "answer", "epochs": 1, "replay": {"items": 99}}
    _, second = build(strategy(ANSWER, again))
    assert second.mixture["item_id"].is_unique and len(second.mixture) == 8


def test_a_share_is_of_the_items_that_may_be_replayed(build):
    again = {"buckets": ["easy"], "target": "answer", "epochs": 1, "replay": {"items": 0.5}}
    _, second = build(strategy(ANSWER, again))
    assert len(second.mixture) == 4 + 2, "four easy ones, and half of the four medium ones"


@pytest.mark.parametrize("replay", [{}, {"replay": {"items": 2}}])
def test_a_stage_whose_bucket_is_empty_is_refused_whatever_it_replays(build, buckets, replay):
    nobody_hard = buckets.assign(bucket=buckets["bucket"].replace("hard", "medium"))
    with pytest.raises(TrainingError, match="stage 2: the stage has no rows to train on; look at"):
        build(strategy(ANSWER, {**RATIONALE, **replay}), buckets=nobody_hard)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_replay_the_top_of_equally_complex_items_has_what_was_bought(build, buckets, seed):
    plan = strategy(
        ANSWER, {**RATIONALE, "replay": {"items": 2}}, membership={"draw": "top", "items": 3}
    )
    tied = buckets.assign(complexity=buckets["complexity"].replace(0.9, 0.5))
    bought = wanted_rationales({"default": tied}, plan, 1)
    texts = texts_of({item: "yes [[A]]" for item in bought})
    _, second = build(plan, buckets=tied, rationales=texts, training_seed=seed)
    assert second.without_rationale == 0 and (second.mixture["target"] == "rationale").sum() == 3


def test_a_stage_without_replay_says_nothing_of_it():
    assert "replay" not in strategy(RATIONALE).plain()["stages"][0]


@pytest.mark.parametrize("given", [0, 1.5, -1])
def test_a_replay_is_a_number_of_items_or_a_share(given):
    with pytest.raises(ValidationError):
        Replay(items=given)


def test_a_base_strategy_has_no_stage(build):
    assert build(strategy()) == []


def test_a_random_membership_trains_on_as_many_other_items(build, items, rationales):
    everything = texts_of({key: "yes [[A]]" for key in items["item_id"]})
    (drawn,) = build(strategy(RATIONALE, membership="random"), rationales=everything)
    (chosen,) = build(strategy(RATIONALE), rationales=everything)
    assert len(drawn.mixture) == len(chosen.mixture) == 4
    assert set(drawn.mixture["item_id"]) != set(chosen.mixture["item_id"])
    assert set(drawn.mixture["item_id"]) <= set(BUCKET)


def test_a_random_membership_is_validated_on_as_many_other_items(build, items, buckets):
    held_out = {f"v{number}": ["easy", "medium", "hard"][number % 3] for number in range(12)}
    more = items[:12].assign(item_id=list(held_out), split="validation")
    rows = pd.DataFrame({"item_id": held_out.keys(), "bucket": held_out.values(), "sampled": False})
    table = pd.concat([buckets.assign(split="train"), rows.assign(split="validation")])
    changes = {"items": pd.concat([items, more], ignore_index=True), "buckets": table}
    plan = {**ANSWER, "buckets": ["hard"]}
    (own,) = build(strategy(plan), **changes)
    (drawn,) = build(strategy(plan, membership="random"), **changes)
    assert set(own.validation["item_id"]) == {"v2", "v5", "v8", "v11"}
    assert len(drawn.validation) == 4 and set(drawn.validation["item_id"]) <= set(held_out)
    assert set(drawn.validation["item_id"]) != set(own.validation["item_id"])
    (other,) = build(strategy(plan, membership="random"), training_seed=2, **changes)
    assert set(other.validation["item_id"]) != set(drawn.validation["item_id"])


def test_a_weight_below_0_of_a_validation_item_is_none(build, items, buckets):
    held_out = [f"v{number}" for number in range(12)]
    more = items[:12].assign(item_id=held_out, split="validation")
    rows = pd.DataFrame({"item_id": held_out, "bucket": ["easy", "medium", "hard"] * 4})
    rows = rows.assign(sampled=False, complexity=[-1.0] * 8 + [1.0] * 4, split="validation")
    training = buckets.assign(split="train", complexity=1.0)
    changes = {"items": pd.concat([items, more], ignore_index=True)}
    plan = {**ANSWER, "buckets": ["hard"]}
    (drawn,) = build(
        strategy(plan, membership={"draw": "proportional"}),
        buckets=pd.concat([training, rows]),
        **changes,
    )
    assert set(drawn.validation["item_id"]) == {"v8", "v9", "v10", "v11"}


def test_wanted_rationales_are_those_of_the_stages_that_train_on_them(buckets):
    hard = {key for key, name in BUCKET.items() if name == "hard"}
    assert wanted_rationales({"default": buckets}, strategy(ANSWER, RATIONALE), 1) == hard
    assert wanted_rationales({"default": buckets}, strategy(MIXED), 1) == hard
    assert wanted_rationales({"default": buckets}, strategy(ANSWER), 1) == set()
    drawn = wanted_rationales({"default": buckets}, strategy(RATIONALE, membership="random"), 1)
    assert len(drawn) == 4 and drawn != hard


def test_several_strategies_and_seeds_want_what_any_of_them_wants(buckets):
    tables, drawn = {"default": buckets}, strategy(RATIONALE, membership="random")
    assert wanted_by(tables, [strategy(ANSWER)], [1, 2]) == set()
    expected = wanted_rationales(tables, strategy(RATIONALE), 1)
    expected |= wanted_rationales(tables, drawn, 1) | wanted_rationales(tables, drawn, 2)
    assert wanted_by(tables, [strategy(ANSWER), strategy(RATIONALE), drawn], [1, 2]) == expected


def test_membership_covers_the_sampled_items_alone(buckets):
    assert membership(buckets, strategy(), 1).to_dict() == BUCKET


def test_a_digest_does_not_depend_on_row_order(build, items, buckets):
    rationales = texts_of({key: f"{key} [[A]]" for key in BUCKET})
    for plan in (strategy(MIXED), strategy(ANSWER, RATIONALE, membership="random")):
        expected = [stage.model for stage in build(plan, rationales=rationales)]
        turned = build(
            plan,
            items=items.iloc[::-1].reset_index(drop=True),
            buckets=buckets.sample(frac=1, random_state=3),
            rationales=rationales.iloc[::-1],
        )
        assert [stage.model for stage in turned] == expected


def test_everything_that_goes_into_a_model_changes_its_digest(build, recipe, letters, items):
    changed_item = items.assign(question=["9 + 9 ?", *items["question"][1:]])
    changes = [
        {},
        {"recipe": changed(recipe, learning_rate=0.02)},
        {"recipe": changed(recipe, lora=changed(recipe.lora, r=8))},
        {"training_seed": 2},
        {"revision": "r2"},
        {"precision": {"dtype": "float32", "attention": "sdpa"}},
        {"precision": {"dtype": "auto", "attention": "eager"}},
        {"parent": "0123456789abcdef"},
        {"items": changed_item},
        {"variant": letters.model_copy(update={"labels": "lower"})},
        {"plan": strategy({**ANSWER, "epochs": 3})},
        {"plan": strategy({**ANSWER, "buckets": ["easy"]})},
    ]
    digests = [build(**{"plan": strategy(ANSWER), **change})[0].model for change in changes]
    assert len(set(digests)) == len(changes)


def test_a_new_training_code_version_changes_the_digest(build, monkeypatch):
    (before,) = build(strategy(ANSWER))
    monkeypatch.setattr(versions, "TRAINING", versions.TRAINING + 1)
    (after,) = build(strategy(ANSWER))
    assert after.model != before.model
    assert after.spec["mixture"] == before.spec["mixture"]


def test_only_a_short_stage_with_a_warm_up_depends_on_the_training_of_short_ones(
    build, recipe, monkeypatch
):
    def models(epochs, **changes):
        plan = strategy({**ANSWER, "epochs": epochs})
        (before,) = build(plan, recipe=changed(recipe, batch_size=8, **changes))
        with monkeypatch.context() as patch:
            patch.setattr(versions, "SHORT_TRAINING", versions.SHORT_TRAINING + 1)
            (after,) = build(plan, recipe=changed(recipe, batch_size=8, **changes))
        return before.model == after.model, "short" in before.spec

    warm = {"schedule": "cosine", "warmup_share": 0.1}
    assert models(19, **warm) == (False, True)
    assert models(20, **warm) == (True, False)
    assert models(2, **{**warm, "warmup_share": 0}) == (True, False)
    assert models(2, **{**warm, "schedule": "constant"}) == (True, False)


def test_a_match_by_steps_counts_packs(build, recipe):
    packed = changed(recipe, packing="packed", batch_size=1, max_length=512)
    matched = build(strategy({**ANSWER, "epochs": 12}), recipe=packed, name="other")
    assert matched[0].updates == 12
    plan = strategy({**ANSWER, "epochs": 1}, match={"strategy": "other", "by": "steps"})
    (stage,) = build(plan, recipe=changed(recipe, batch_size=8), matched=matched)
    assert stage.updates == 12


def test_what_a_model_does_not_depend_on_leaves_its_digest_alone(build, buckets, recipe):
    (stage,) = build(strategy(ANSWER))
    scores = buckets.assign(complexity=1.0)
    (other,) = build(strategy(ANSWER), buckets=scores, context=500, fallback="train_on_answer")
    assert other.model == stage.model
    (lenient,) = build(strategy(ANSWER), recipe=changed(recipe, max_overlong_share=1.0))
    assert lenient.model == stage.model and "max_overlong_share" not in lenient.spec["recipe"]


def test_strategies_that_share_a_first_stage_share_its_model(build):
    first, second = build(strategy(ANSWER, RATIONALE))
    (alone,) = build(strategy(ANSWER))
    (unparented,) = build(strategy(RATIONALE))
    assert alone.model == first.model
    assert unparented.spec["mixture"] == second.spec["mixture"]
    assert unparented.model != second.model


def test_target_tokens_include_the_end_of_the_turn(tokenizer):
    messages = [{"role": "user", "content": "1 + 0 ?"}]
    rows = pd.DataFrame({"messages": [messages], "completion": ["[[B]]"], "target": "answer"})
    counted = count_tokens(rows, Chat(tokenizer))
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert counted["prompt_tokens"].tolist() == [len(prompt)]
    assert counted["target_tokens"].tolist() == [len(tokenizer("[[B]]")["input_ids"]) + 1]


def lengths(*totals):
    return pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(len(totals))],
            "prompt_tokens": [total - 1 for total in totals],
            "target_tokens": 1,
        }
    )


def test_over_long_rows_are_left_out_and_kept_apart():
    rows, long = split_over_long(lengths(9, 10, 11, 3), 10, 0.25, "here")
    assert (list(rows["item_id"]), list(long["item_id"])) == (["i0", "i1", "i3"], ["i2"])


def test_too_many_over_long_rows_stop_the_run():
    with pytest.raises(TrainingError, match="here: 2 of 4 rows are longer than 10 tokens.*0.25"):
        split_over_long(lengths(9, 10, 11, 12), 10, 0.25, "here")


def test_a_stage_without_rows_stops_the_run(build):
    with pytest.raises(TrainingError, match=r"strategies\.mine, stage 2: the stage has no rows"):
        build(strategy(ANSWER, RATIONALE), rationales=NO_RATIONALES, name="mine")
    with pytest.raises(TrainingError, match="no rows"):
        split_over_long(lengths(11), 10, 1.0, "here")


def test_a_row_is_over_long_where_the_student_or_the_recipe_ends(build, recipe):
    (whole,) = build(strategy(ANSWER))
    total = whole.mixture["prompt_tokens"] + whole.mixture["target_tokens"]
    limit = int(total.max()) - 1
    for changes in ({"context": limit}, {"recipe": changed(recipe, max_length=limit)}):
        (stage,) = build(strategy(ANSWER), **changes)
        assert len(stage.over_long) == (total > limit).sum() > 0
        assert len(stage.mixture) == (total <= limit).sum() > 0


def test_the_mixture_digest_is_of_what_is_trained_on(build):
    (stage,) = build(strategy(MIXED))
    assert mixture_digest(stage.mixture) == stage.spec["mixture"]
    assert mixture_digest(stage.mixture.assign(prompt_tokens=0)) == stage.spec["mixture"]
    for columns in ({"completion": "C"}, {"weight": 5}):
        assert mixture_digest(stage.mixture.assign(**columns)) != stage.spec["mixture"]


def test_a_mixture_digest_is_the_same_in_every_version():
    message = {"role": "user", "content": "1 + 0 ?"}
    rows = pd.DataFrame(
        {
            "item_id": ["i2", "i1"],
            "target": ["answer", "rationale"],
            "messages": [[message], [message]],
            "completion": ["B", "so [[B]]"],
        }
    )
    expected = "7a13a43cc6a72621"
    assert mixture_digest(rows) == expected
    assert mixture_digest(rows.assign(prompt_tokens=5, target_tokens=2)) == expected


def test_a_model_is_trained_for_the_mode_of_its_last_stage():
    assert strategy().trained_mode == "direct"
    assert strategy(ANSWER).trained_mode == "direct"
    assert strategy(ANSWER, RATIONALE).trained_mode == "cot"
    assert strategy(RATIONALE, ANSWER).trained_mode == "direct"
    assert strategy(MIXED).trained_mode == "cot"


def test_a_stage_in_the_short_form_is_one_part():
    (part,) = rows_of(RATIONALE).parts_or_itself
    assert part.plain() == {"buckets": ["hard"], "target": "rationale"}
    assert [one.plain() for one in rows_of(MIXED).parts_or_itself] == MIXED["parts"]


def test_a_strategy_needs_rationales_if_any_part_trains_on_them():
    assert strategy(ANSWER, MIXED).needs_rationales and not strategy(ANSWER).needs_rationales
    assert not strategy().needs_rationales


def test_a_strategy_tells_buckets_apart_if_it_treats_them_differently():
    whole = {**ANSWER, "buckets": ["hard", "easy", "medium"]}
    assert strategy(ANSWER, RATIONALE).tells_buckets_apart
    assert strategy(whole, RATIONALE).tells_buckets_apart
    assert strategy(MIXED).tells_buckets_apart
    assert not strategy(whole).tells_buckets_apart
    assert not strategy().tells_buckets_apart
    assert not strategy(ANSWER, membership="random").tells_buckets_apart


def test_a_strategy_uses_its_own_division_first_and_each_once():
    own = {**ANSWER, "divided_by": "after"}
    assert strategy(own, ANSWER, own, buckets="mine").divisions() == ["mine", "after"]


def test_the_keys_of_a_strategy_say_the_same_with_and_without_those_of_other_concerns():
    whole = strategy({**ANSWER, "divided_by": "after"}, RATIONALE, start="warm_up")
    asked = {
        "stages": [{"buckets": ["hard"], "target": "rationale", "divided_by": "after"}],
        "buckets": "default",
        "membership": "random",
    }
    for given in (whole, Wanted.model_validate(asked)):
        assert given.divisions() == ["default", "after"] and given.needs_rationales
    assert not strategy(ANSWER).needs_rationales


def test_a_warm_up_draws_training_items_and_asks_for_bare_answers(items, letters):
    sample = warm_up_sample(items, 5, seed=1)
    assert len(set(sample)) == 5 and set(sample) <= set(BUCKET)
    assert sample == warm_up_sample(items.iloc[::-1], 5, seed=1)
    assert set(sample) < set(warm_up_sample(items, 6, seed=1))
    assert sample != warm_up_sample(items, 5, seed=2)
    rows = warm_up_rows(items, sample, letters, 1)
    assert sorted(rows["item_id"]) == sorted(sample)
    assert set(rows["target"]) == {"answer"} and set(rows["completion"]) <= {"A", "B"}
