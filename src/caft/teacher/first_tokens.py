"""The top log-probabilities of an endpoint at the first token of its answer, for `topk_entropy`."""

import pandas as pd

from caft.complexity.topk_entropy import first_logprobs
from caft.errors import ConfigError
from caft.prompting.prompts import all_messages
from caft.prompting.settings import Prompt
from caft.store import Store
from caft.tables.parquet import records
from caft.teacher import NOT_TAKEN, Answer, Teacher
from caft.teacher.asking import Setup, obtain, open_asking
from caft.teacher.money.estimate import Outlook, look_up
from caft.teacher.records import make_request
from caft.teacher.settings import TeacherKeys
from caft.teacher.tally import Tally
from caft.teacher.watch import NO_LOGPROBS, Watch, check_errors


def ask_first_tokens(
    items: pd.DataFrame, setup: Setup[TeacherKeys], variant: Prompt, seed: int
) -> pd.DataFrame:
    """Ask an endpoint for the direct answer to every item, once, within the teacher's budget.

    Args:
        items: the items table.
        setup: the teacher; its `extra_body` asks for `logprobs` and `top_logprobs`.
        variant: the prompt variant it is asked with.
        seed: of the few-shot draw.

    Returns:
        The topk table: a row per item, `top_logprobs` null where the answer has none.

    Raises:
        ConfigError: if not one answer has log-probabilities.
        TeacherError: if the first answers have none, or too many items are without an answer.
    """
    messages = all_messages(items, variant, "direct", seed)
    prompts = dict(zip(items["item_id"], messages, strict=True))

    def look(teacher: Teacher, store: Store) -> Outlook:
        return look_up(records(items), prompts, teacher, store, setup.counter)

    with open_asking(setup, look) as asking:
        tally = Tally(asking.teacher, "with log-probabilities")

        def note(batch: list[Answer]) -> str:
            return tally.add(batch, [first_logprobs(answer.raw) is not None for answer in batch])

        asked = {
            item["item_id"]: make_request(asking.teacher, item, prompts[item["item_id"]], 0)
            for item in records(items)
        }
        watch = Watch(_useless, asking.patience, asking.path)
        answers = obtain(asked.values(), asking, "first tokens", note, "topk", watch)
        errors = [str(one.raw["error"]) for one in answers.values() if one.finish_reason == "error"]
        check_errors(errors, len(answers), asking.error_share, asking.path)
    found = [answers[request.key] for request in asked.values()]
    table = pd.DataFrame(
        {
            "item_id": list(asked),
            "split": items["split"].to_numpy(),
            "key": [answer.key for answer in found],
            "top_logprobs": [first_logprobs(answer.raw) for answer in found],
            "prompt_tokens": [answer.prompt_tokens for answer in found],
            "completion_tokens": [answer.completion_tokens for answer in found],
            "cost_usd": [answer.cost_usd for answer in found],
        }
    )
    if len(table) and table["top_logprobs"].isna().all():
        raise ConfigError(
            f"{setup.path}: no answer has log-probabilities; set extra_body: {{logprobs: true, "
            "top_logprobs: 20}, or choose an endpoint that gives them."
        )
    return table


def _useless(answer: Answer) -> str | None:
    if answer.finish_reason in NOT_TAKEN:
        return answer.finish_reason
    return None if first_logprobs(answer.raw) is not None else NO_LOGPROBS
