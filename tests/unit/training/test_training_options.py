import pytest
import torch
import trl
from peft.tuners.lora import dora
from safetensors.torch import load_file
from stages import CPU, changed, mixture_of
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaMLP

from caft.errors import TrainingError
from caft.mixtures.recipe import Recipe
from caft.students.folders import load_chat, load_model
from caft.tables.files import read_json
from caft.training import StageJob, encode_mixture, is_trained, memory, train_stage, trainer
from caft.training.recipes import split_batch
from caft.training.rows import check_isolation, dataset_of

ROWS, HELD_OUT = mixture_of(range(16)), mixture_of(range(40, 47))


def losses(record, name="loss"):
    return [entry[name] for entry in record["history"] if name in entry]


def rates(record):
    return losses(record, "learning_rate")


@pytest.fixture
def train(student, recipe, tmp_path):
    """Train for two epochs of four updates with some settings changed."""

    def run(folder="model", epochs=2, rows=ROWS, validation=None, parent=None, **changes):
        if "lora" in changes:
            changes["lora"] = changed(recipe.lora, **changes["lora"])
        parts = {"validation": validation, "parent": tmp_path / parent if parent else None}
        job = StageJob(rows, student, changed(recipe, **changes), epochs, 1, **parts)
        return train_stage(job, tmp_path / folder, CPU)

    return run


def test_an_entry_of_the_history_tells_step_epoch_loss_rate_and_gradient(train):
    record = train(epochs=1)
    assert [set(entry) for entry in record["history"]] == 4 * [
        {"step", "epoch", "loss", "learning_rate", "grad_norm"}
    ]
    assert [entry["epoch"] for entry in record["history"]] == [0.25, 0.5, 0.75, 1.0]
    assert record["processes"] == 1 and record["epochs"] == [] and record["chosen_epoch"] is None


def test_each_schedule_moves_the_rate_as_its_name_says(train):
    constant = rates(train("a", schedule="constant"))
    assert constant == [0.01] * 8
    warm = rates(train("b", 5, schedule="constant_with_warmup", warmup_share=0.2))
    assert warm == pytest.approx([0, 0.0025, 0.005, 0.0075, *[0.01] * 16])
    linear = rates(train("c", schedule="linear"))
    assert linear == pytest.approx([0.01 * (1 - step / 8) for step in range(8)])
    cosine = rates(train("d", schedule="cosine"))
    assert cosine[4] == pytest.approx(0.005) and cosine[2] > linear[2] and cosine[6] < linear[6]


SCHEDULES = ["cosine", "linear", "constant", "constant_with_warmup"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("updates", "share"), [(1, 0.03), (2, 0.1), (3, 0.5), (5, 0.99), (19, 0)])
def test_every_update_of_a_short_stage_has_a_rate(train, schedule, updates, share):
    record = train(
        epochs=updates, rows=ROWS[:4], schedule=schedule, warmup_share=share, learning_rate=1
    )
    found = rates(record)
    assert len(found) == updates
    assert min(found) > 0 and max(found) >= 0.5


def test_a_short_stage_has_the_rates_of_one_more_update_from_its_second_on(train):
    found = rates(train(schedule="linear", warmup_share=0.25))
    assert found == pytest.approx([0.01 * share for share in (1 / 3, 2 / 3, 1, *SIXTHS)])


SIXTHS = [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]


def test_a_stage_of_one_update_changes_the_weights(train, tmp_path):
    train(epochs=1, rows=ROWS[:4], schedule="cosine", warmup_share=0.1)
    weights = load_file(tmp_path / "model" / "adapter_model.safetensors")
    # They are 0 before the first update.
    assert all(value.any() for name, value in weights.items() if "lora_B" in name)


def test_a_stage_that_is_not_short_begins_as_transformers_does(train):
    found = rates(train(epochs=5, schedule="cosine", warmup_share=0.1))
    assert len(found) == 20 and found[:3] == pytest.approx([0, 0.005, 0.01])


@pytest.mark.parametrize(("updates", "level"), [(9, "WARNING"), (10, "INFO")])
def test_the_log_tells_updates_and_rates_and_warns_of_few(train, caplog, updates, level):
    caplog.set_level("INFO", "caft")
    train(epochs=updates, rows=ROWS[:4], schedule="linear", warmup_share=0)
    (line,) = [one for one in caplog.records if one.getMessage().startswith("updates: ")]
    last = f"{0.01 / updates:.3g}"
    assert line.getMessage() == (
        f"updates: {updates}; learning rates: 0.01 at first, 0.01 at most, {last} at last"
    )
    assert line.levelname == level


@pytest.mark.parametrize(
    ("changes", "unlike"),
    [
        ({"r": 8}, "lora.r is 8 here and 4 there"),
        ({"alpha": 4.5}, "lora.alpha is 4.5 here and 8 there"),
        ({"variant": "rslora"}, "lora.variant is rslora here and lora there"),
        ({"variant": "dora"}, "lora.variant is dora here and lora there"),
        ({"target_modules": ["v_proj", "q_proj"]}, "lora.target_modules is ['q_proj', 'v_proj']"),
        ({"r": 2, "alpha": 4}, "lora.r is 2 here and 4 there, lora.alpha is 4 here and 8 there"),
    ],
)
def test_other_adapters_than_the_parents_are_refused(train, tmp_path, changes, unlike):
    train("parent", 1, ROWS[:4])
    with pytest.raises(TrainingError) as caught:
        train(parent="parent", lora=changes)
    assert f"{tmp_path / 'parent'}: this stage cannot go on from that" in str(caught.value)
    assert unlike in str(caught.value)


@pytest.mark.parametrize(("first", "second"), [("lora", "full"), ("full", "lora")])
def test_a_parent_of_another_method_is_refused(train, first, second):
    train("parent", 1, ROWS[:4], method=first)
    with pytest.raises(TrainingError, match=f"method is {second} here and {first} there"):
        train(parent="parent", method=second)


@pytest.mark.parametrize("variant", ["lora", "rslora", "dora"])
def test_the_same_adapters_go_on_with_another_dropout(train, tmp_path, variant):
    linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    shape = {"variant": variant, "target_modules": "all-linear"}
    train("parent", 2, lora=shape)
    train("still", 1, parent="parent", lora=shape, learning_rate=1e-30)
    spelled = {**shape, "target_modules": linear}
    plain = train("plain", 1, parent="parent", lora=spelled)
    dropped = train("dropped", 1, parent="parent", lora={**shape, "dropout": 0.5})
    names = ("parent", "still")
    first, still = (load_file(tmp_path / name / "adapter_model.safetensors") for name in names)
    assert first.keys() == still.keys() and all(torch.equal(first[k], still[k]) for k in first)
    assert losses(plain)[0] != losses(dropped)[0]
    assert read_json(tmp_path / "dropped" / "adapter_config.json")["lora_dropout"] == 0.5


def test_rslora_and_dora_train_other_adapters_that_load(train, student, tmp_path, monkeypatch):
    magnitudes = []
    forward = dora.DoraLinearLayer.forward
    monkeypatch.setattr(
        dora.DoraLinearLayer,
        "forward",
        lambda self, *a, **k: magnitudes.append(1) or forward(self, *a, **k),
    )
    records = {name: train(name, lora={"variant": name}) for name in ("lora", "rslora", "dora")}
    config = {name: read_json(tmp_path / name / "adapter_config.json") for name in records}
    assert [config[name]["use_rslora"] for name in records] == [False, True, False]
    assert [config[name]["use_dora"] for name in records] == [False, False, True]
    assert magnitudes
    # rsLoRA scales by alpha / sqrt(r) = 8 / 2, twice as much as LoRA: the same first loss.
    assert losses(records["rslora"])[0] == losses(records["lora"])[0]
    assert losses(records["rslora"])[1] != losses(records["lora"])[1]
    tokens = torch.arange(30)[None]
    with torch.inference_mode():
        plain = load_model(student)(input_ids=tokens).logits
        for name in records:
            tuned = load_model(student, adapter=tmp_path / name)(input_ids=tokens).logits
            assert (tuned - plain).abs().max() > 0.1
    weights = load_file(tmp_path / "dora" / "adapter_model.safetensors")
    assert any("magnitude" in name for name in weights)


def test_gradient_checkpointing_computes_again_and_learns_the_same(train, monkeypatch):
    passes = []
    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda *a: passes.append(1) or forward(*a))
    plain, once = train("plain"), len(passes)
    saving = train("saving", gradient_checkpointing=True)
    assert len(passes) == once + 2 * once
    assert losses(saving) == pytest.approx(losses(plain), abs=1e-4)


def test_padding_free_steps_learn_what_padded_ones_do(train, monkeypatch):
    shapes = []
    step = trainer.StageTrainer.training_step

    def recording(self, model, inputs, *arguments):
        shapes.append(tuple(inputs["input_ids"].shape))
        assert "attention_mask" not in inputs
        return step(self, model, inputs, *arguments)

    padded = train("padded")
    monkeypatch.setattr(trainer.StageTrainer, "training_step", recording)
    free = train("free", packing="padding_free", validation=HELD_OUT)
    assert {rows for rows, _ in shapes} == {1}
    assert losses(free) == pytest.approx(losses(padded), abs=1e-4)


@pytest.mark.parametrize("packing", ["none", "padding_free"])
def test_a_step_in_parts_learns_what_the_whole_one_does(train, monkeypatch, packing):
    """Losses and gradients to 1e-6, in float32; an update of 8 rows has about 300 tokens."""
    monkeypatch.setattr(memory, "TOKENS_ON_A_CPU", 100)
    parts = []
    cut = trainer.parts_of

    def counting(*arguments):
        parts.append(cut(*arguments))
        return parts[-1]

    monkeypatch.setattr(trainer, "parts_of", counting)
    common = {"packing": packing, "learning_rate": 1e-4, "validation": HELD_OUT}
    whole = train("whole", batch_size=8, **common)
    assert not parts and whole["tokens_at_once"] is None
    auto = train("auto", batch_size="auto", update_rows=8, **common)
    assert {len(part) > 2 for part in parts} == {True}
    assert auto["steps"] == whole["steps"] == 4 and auto["tokens_at_once"] == 100
    for name in ("loss", "grad_norm", "validation_loss"):
        assert losses(auto, name) == pytest.approx(losses(whole, name), rel=1e-6, abs=1e-6)


def test_packs_hold_every_row_whole_once(chat, tokenizer):
    rows = encode_mixture(ROWS, chat)
    longest = max(len(row["input_ids"]) for row in rows)
    data = dataset_of(rows, "packed", 2 * longest, tokenizer.pad_token_id)
    assert len(data) < len(rows)
    found = []
    for pack in list(data)[:-1]:
        assert len(pack["input_ids"]) <= 2 * longest
        start = 0
        for length in pack["seq_lengths"]:
            part = slice(start, start + length)
            found.append((pack["input_ids"][part], pack["labels"][part]))
            start += length
    assert sorted(found) == sorted((row["input_ids"], row["labels"]) for row in rows)
    assert set(data[-1]["labels"]) == {-100}


def test_packing_takes_fewer_updates_and_learns(train):
    record = train("packed", 6, packing="packed", batch_size=1, max_length=160)
    assert record["rows"] == 16 and record["steps"] < 6 * 16 / 2
    assert losses(record)[-1] < losses(record)[0] / 2


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_rows_do_not_see_each_other(student, chat, attention):
    rows = encode_mixture(ROWS, chat)
    check_isolation(load_model(student, attention=attention), rows)


def test_a_model_whose_packed_rows_see_each_other_is_refused(student, chat):
    model = load_model(student)
    plain = model.forward
    # As a model does that takes no notice of positions which start again.
    model.forward = lambda input_ids, use_cache, **_: plain(input_ids=input_ids)
    with pytest.raises(TrainingError, match=r"training\.packing: with sdpa attention the rows"):
        check_isolation(model, encode_mixture(ROWS, chat))


def test_isolation_is_checked_on_the_prepared_model_under_its_autocast(train, monkeypatch):
    plain = trl.SFTConfig
    monkeypatch.setattr(trl, "SFTConfig", lambda **given: plain(**{**given, "bf16": True}))
    attend, seen = ALL_ATTENTION_FUNCTIONS["sdpa"], []

    def spy(module, query, *arguments, **named):
        seen.append((module.training, torch.is_autocast_enabled("cpu")))
        return attend(module, query, *arguments, **named)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", spy)
    train(epochs=1, packing="padding_free")
    checked = seen[: [training for training, _ in seen].index(True)]
    assert len(checked) > 1
    assert {casts for _, casts in seen} == {True}


def test_a_training_whose_packed_rows_see_each_other_stops_before_its_first_update(
    train, tmp_path, monkeypatch
):
    attend = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def careless(module, query, key, value, attention_mask, **named):
        return attend(module, query, key, value, None, **named)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", careless)
    with pytest.raises(TrainingError, match=r"training\.packing: with sdpa attention the rows"):
        train("careless", packing="padding_free")
    assert not (tmp_path / "careless/trainer/losses.jsonl").exists()


def test_the_validation_loss_is_the_mean_over_its_tokens_and_moves_nothing(
    train, student, tmp_path
):
    plain = train("plain")
    record = train("watched", validation=HELD_OUT)
    assert record["weights_sha256"] == plain["weights_sha256"]
    assert losses(record) == losses(plain)
    held_out = [entry for entry in record["history"] if "validation_loss" in entry]
    assert [(entry["step"], entry["epoch"]) for entry in held_out] == [(4, 1.0), (8, 2.0)]
    model, total, count = load_model(student, adapter=tmp_path / "watched"), 0.0, 0
    for row in encode_mixture(HELD_OUT, load_chat(student)):
        targets = sum(label != -100 for label in row["labels"])
        with torch.inference_mode():
            loss = model(
                input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])
            ).loss.item()
        total, count = total + targets * loss, count + targets
    assert held_out[-1]["validation_loss"] == pytest.approx(total / count, abs=1e-4)


def test_weights_that_were_gathered_from_shards_are_saved_once_if_they_are_tied(student):
    model = load_model(student)
    gathered = {name: weight.clone() for name, weight in model.state_dict().items()}
    kept = trainer._without_tied(gathered, model.all_tied_weights_keys)
    assert set(gathered) - set(kept) == {"lm_head.weight"}
    assert set(kept) == set(load_file(student / "model.safetensors"))
    assert trainer._without_tied(gathered, {}) == gathered


def test_every_epoch_is_kept_as_a_model_of_its_own(train, student, tmp_path):
    record = train(epochs=2.5, keep_epochs=True)
    assert record["epochs"] == [1, 2, 3]  # the last one is half an epoch
    folder = tmp_path / "model"
    kept = [read_json(folder / f"epochs/{epoch}/model.json") for epoch in (2, 3)]
    hashes = [entry.pop("weights_sha256") for entry in kept]
    about = {"method": "lora", "thinks": None, "parent": None, "spec": None}
    assert kept[0] == {**about, "epoch": 2, "step": 8}
    assert hashes[0] != hashes[1] == record["weights_sha256"]
    last, before = (
        load_file(folder / f"epochs/{epoch}/adapter_model.safetensors") for epoch in (3, 2)
    )
    final = load_file(folder / "adapter_model.safetensors")
    assert all(torch.equal(final[name], last[name]) for name in final)
    assert any(not torch.equal(final[name], before[name]) for name in final)
    load_model(student, adapter=folder / "epochs/1")
    assert is_trained(folder)
    (folder / "epochs/1/adapter_model.safetensors").unlink()
    assert not is_trained(folder)


def test_a_kept_epoch_of_the_full_method_is_a_whole_model(train, tmp_path):
    train(epochs=1, keep_epochs=True, method="full")
    load_model(tmp_path / "model/epochs/1")


def test_a_training_ends_when_the_validation_loss_no_longer_falls(train, student, tmp_path):
    other = HELD_OUT.assign(completion="never said in training")
    record = train(epochs=9, validation=other, early_stopping={"patience": 2}, learning_rate=0.05)
    held_out = losses(record, "validation_loss")
    best = record["chosen_epoch"]
    assert held_out.index(min(held_out)) + 1 == best
    assert len(held_out) == best + 2 < 9
    assert record["steps"] == 4 * len(held_out)
    assert record["target_tokens"] == len(held_out) * record["target_tokens_one_pass"]
    again = train("again", epochs=9, validation=other, learning_rate=0.05, keep_epochs=True)
    assert losses(again, "validation_loss")[: len(held_out)] == held_out
    name = "adapter_model.safetensors"
    kept = (tmp_path / f"again/epochs/{best}" / name).read_bytes()
    assert (tmp_path / "model" / name).read_bytes() == kept
    assert not (tmp_path / "model/epochs").exists() and not (tmp_path / "model/trainer").exists()


@pytest.mark.parametrize("validation", [None, HELD_OUT[:0]])
def test_an_early_end_needs_validation_rows(train, validation):
    with pytest.raises(TrainingError, match="needs validation rows and there are none; give"):
        train(early_stopping={"patience": 1}, validation=validation)


@pytest.mark.parametrize(
    ("batch", "accumulation", "count", "shared"),
    [(4, 1, 1, (4, 1)), (3, 2, 1, (3, 2)), (4, 1, 2, (2, 1)), (1, 8, 2, (1, 4)),
     (3, 2, 2, (1, 3)), (4, 3, 6, (1, 2)), (4, 1, 4, (1, 1))],
)  # fmt: skip
def test_an_update_has_equally_many_rows_with_any_number_of_processes(
    batch, accumulation, count, shared
):
    recipe = Recipe(batch_size=batch, gradient_accumulation=accumulation)
    assert split_batch(recipe, count) == shared
    assert shared[0] * shared[1] * count == batch * accumulation


def test_rows_that_cannot_be_shared_out_are_an_error():
    with pytest.raises(TrainingError, match=r"= 6 rows per update cannot be shared by 4 processe"):
        split_batch(Recipe(batch_size=3, gradient_accumulation=2), 4)


def likely(model, student, rows):
    """Return ln p of every target token under a model."""
    found = []
    for row in encode_mixture(rows, load_chat(student)):
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"][1:])
        each, targets = model(ids).logits[0, :-1].log_softmax(-1), labels != -100
        found.append(each[targets].gather(1, labels[targets][:, None])[:, 0])
    return torch.cat(found)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_dft_weighs_each_tokens_loss_by_its_probability(train, student, method):
    record = train(epochs=1, rows=ROWS[:4], method=method, loss="dft")
    found = likely(load_model(student), student, ROWS[:4])
    # By arXiv 2508.05629 and TRL: the mean of -p ln p.
    assert losses(record) == pytest.approx([float(-(found.exp() * found).mean())], rel=1e-4)
    plain = train("nll", epochs=1, rows=ROWS[:4], method=method)
    assert losses(plain) == pytest.approx([float(-found.mean())], rel=1e-4)


def test_the_gradient_of_dft_takes_the_probability_for_a_constant(train, student):
    (entry,) = train(epochs=1, rows=ROWS[:4], method="full", loss="dft")["history"]
    model = load_model(student).requires_grad_(True)
    found = likely(model, student, ROWS[:4])
    (-(found.exp().detach() * found).mean()).backward()
    norm = torch.stack([one.grad.norm() for one in model.parameters()]).norm()
    assert entry["grad_norm"] == pytest.approx(float(norm), rel=1e-3)


def test_the_validation_loss_is_the_same_whatever_is_minimized(train):
    rates_of_nothing = {"epochs": 1, "learning_rate": 1e-30, "validation": HELD_OUT}
    nll = losses(train("a", **rates_of_nothing), "validation_loss")
    assert losses(train("b", loss="dft", **rates_of_nothing), "validation_loss") == nll


def test_a_recipe_says_of_its_loss_only_what_is_new(recipe):
    assert "loss" not in changed(recipe, loss="nll").of_the_model()
    assert changed(recipe, loss="dft").of_the_model()["loss"] == "dft"
