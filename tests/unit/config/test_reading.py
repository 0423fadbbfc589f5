"""One reader: Snakemake and `caft` make the same configuration of the same files."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from caft.config.prepare import prepare
from caft.config.reading import lay_over, parse, read_files, read_words
from caft.errors import ConfigError

ROOT = Path(__file__).parents[3]
DEFAULT = ROOT / "config.yaml"
SHIPPED = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))


def as_snakemake(*paths):
    config = {}
    for path in paths:
        update_config(config, load_configfile(path))
    return config


def paths_of(value, path=()):
    """Every key path of the shipped configuration."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*path, key)
            yield from paths_of(part, (*path, key))


PATHS = sorted(set(paths_of(SHIPPED)))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9999),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("abc é-_1\n", max_size=6),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 9), max_size=2),
)


@st.composite
def overlays(draw):
    """A file that lays some values over some keys, with an alias now and then."""
    overlay = {}
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=6)):
        part = overlay
        for key in path[:-1]:
            inner = part.get(key)
            part[key] = inner if isinstance(inner, dict) else {}
            part = part[key]
        part[path[-1]] = draw(VALUES)
    if draw(st.booleans()):
        shared = {"x": {"y": 1}}
        overlay["extra"] = {"one": shared, "two": shared}  # written as an anchor and an alias
    return overlay


@settings(max_examples=25, deadline=None)
@given(st.lists(overlays(), max_size=2))
def test_any_files_give_what_snakemake_makes_of_them(tmp_path_factory, layers):
    folder = tmp_path_factory.mktemp("overlay")
    paths = [DEFAULT]
    for number, layer in enumerate(layers):
        paths.append(folder / f"{number}.yaml")
        paths[-1].write_text(yaml.safe_dump(layer, allow_unicode=True), encoding="utf-8")
    assert read_files(paths) == as_snakemake(*paths)


def test_a_json_file_is_read_too(tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text('{"seed": 7}', encoding="utf-8")
    assert read_files([DEFAULT, mine]) == as_snakemake(DEFAULT, mine) == {**SHIPPED, "seed": 7}


def test_an_override_of_one_variant_leaves_those_that_share_its_yaml_alias(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("prompts: {few_shot: {cot: {numeric: OTHER WORDS}}}\n", encoding="utf-8")
    prompts = read_files([DEFAULT, mine])["prompts"]
    assert prompts["few_shot"]["cot"]["numeric"] == "OTHER WORDS"
    assert prompts["letters"] == SHIPPED["prompts"]["letters"]


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "cannot be read"), ("- 1", "holds no keys"), ("a: [", "cannot be read")],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path, text, told):
    mine = tmp_path / "mine.yaml"
    if text:
        mine.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"mine.yaml: {told}"):
        read_files([mine])


def on_command_line(*entries):
    """Lay `--config` entries over the shipped file as the Snakefile does."""
    config = copy.deepcopy(SHIPPED)
    words = parse_config(entries)
    update_config(config, words)
    lay_over(config, read_words(words))
    return parse(config)


def test_values_on_the_command_line_are_read_as_in_a_file():
    config = on_command_line(
        "run={seeds: [1, 2], relevant_difference: 0.1}",
        "buckets={default: {quantiles: [0.25, 0.5], per_bucket: null}}",
        "training={keep_epochs: true, learning_rate: 2e-4, lora: {r: 8}}",
        "seed=3",
    )
    assert config.run.seeds == [1, 2] and config.run.relevant_difference == 0.1
    assert config.buckets["default"].quantiles == [0.25, 0.5]
    assert config.buckets["default"].per_bucket is None
    assert (config.training.keep_epochs, config.training.learning_rate) == (True, 0.0002)
    assert (config.training.lora.r, config.training.lora.alpha, config.seed) == (8, 32, 3)


def test_a_name_with_a_dot_is_refused_with_one_that_works():
    with pytest.raises(ConfigError, match="letters, digits, - and _ alone, such as qwen2_5"):
        on_command_line("students={qwen2.5: {path: x}}")


def test_keys_that_are_no_texts_are_refused_or_kept_in_order():
    with pytest.raises(ConfigError, match="config: top level: unknown key 3; known keys are"):
        parse({**SHIPPED, True: 1, "zz": 2, 3: 4})
    config = copy.deepcopy(SHIPPED)
    config["datasets"]["sums"]["settings"] = {"weights": {"b": 2, 1: 1}}
    assert list(parse(config).datasets["sums"].plain()["settings"]["weights"]) == [1, "b"]


def shuffled(value):
    """The same with the keys of every section the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(part) for key, part in reversed(value.items())}
    return value


def test_the_order_of_keys_says_nothing():
    first, second = prepare(copy.deepcopy(SHIPPED)), prepare(shuffled(SHIPPED))
    assert repr(first.plain()) == repr(second.plain())


def test_a_default_written_out_says_nothing():
    written = copy.deepcopy(SHIPPED)
    written["strategies"]["sft"] |= {"membership": "complexity", "start": "student"}
    written["prompts"]["letters"]["abstain"] = None
    written["judges"] = {}
    assert repr(prepare(written).plain()) == repr(prepare(copy.deepcopy(SHIPPED)).plain())


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        (("training", "lora", "alpha"), 8, 8.0),
        (("training", "weight_decay"), 0, 0.0),
        (("training", "batch_size"), 2, 2.0),
        (("training", "learning_rate"), 2e-4, "2e-4"),
        (("strategies", "sft", "training"), {"weight_decay": 1}, {"weight_decay": 1.0}),
        (("buckets", "default", "quantiles"), [0, 1], [0.0, 1.0]),
        (("students", "smollm2-135m", "warm_up", "epochs"), 3, 3.0),
    ],
)
def test_a_number_is_the_same_however_it_is_written(path, one, other):
    from caft.config.resolve import resolved_strategies

    def prepared(value):
        config = copy.deepcopy(SHIPPED)
        part = config
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        complete = prepare(config)
        recipe = resolved_strategies(complete)["sft"].recipe
        return complete.model_copy(update={"strategies": {}}).plain(), recipe.plain()

    assert repr(prepared(one)) == repr(prepared(other))


def test_a_teacher_that_nobody_names_is_not_asked():
    from caft.config.resolve import teachers_used

    config = {key: part for key, part in copy.deepcopy(SHIPPED).items() if key != "teachers"}
    paid = {"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "large"}
    config["teachers"] = {"paid": paid, **SHIPPED["teachers"]}
    assert teachers_used(prepare(config)) == ["worked_solutions"]


def test_a_run_without_a_common_teacher_has_to_name_one():
    config = {**copy.deepcopy(SHIPPED), "teacher": None}
    with pytest.raises(ConfigError, match=r"strategies.distill.teacher: is needed, or a top-level"):
        prepare(config)
    config["teacher"] = "other"
    with pytest.raises(ConfigError, match=r"teacher: no teacher 'other', but strategies.distill"):
        prepare(config)
