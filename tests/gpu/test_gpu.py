"""Checks that need a GPU; elsewhere they are skipped."""

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def questions():
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "item_id": f"{number:016x}",
                "question": f"Which is {number}?",
                "options": ["one", "two", "three", "four"][: 2 + number % 3],
                "answer": "A",
                "answer_kind": "choice",
                "reference_rationale": None,
                "split": "train",
            }
            for number in range(32)
        ]
    )


def scored(student, model, letters):
    from caft.complexity.forward import score_items
    from caft.prompting.asked import Asked
    from caft.students.folders import load_chat
    from caft.students.opened import Loaded

    prompts = Asked(questions(), letters, 1).prompts("direct")
    return score_items(prompts, Loaded(model, load_chat(student), 512))


def test_bfloat16_scores_on_a_gpu_are_near_float32_on_the_cpu(student, letters):
    from caft.students.folders import load_model

    slow = scored(student, load_model(student), letters)
    fast = scored(student, load_model(student, "bfloat16", "cuda"), letters)
    difference = (slow["single_token_entropy"] - fast["single_token_entropy"]).abs()
    assert difference.max() < 0.2
    assert set(fast["status"]) == {"ok"}


def test_float32_scores_on_a_gpu_equal_those_on_the_cpu(student, letters):
    from caft.students.folders import load_model

    slow = scored(student, load_model(student), letters)
    fast = scored(student, load_model(student, device="cuda"), letters)
    difference = (slow["single_token_entropy"] - fast["single_token_entropy"]).abs()
    assert difference.max() < 1e-3


def test_work_on_a_gpu_takes_energy():
    from caft.running.meter import Meter

    meter = Meter("cuda")
    square = torch.randn(4096, 4096, device="cuda")
    for _ in range(500):
        square = (square @ square).clamp(-1, 1)
    torch.cuda.synchronize()
    energy = meter.amounts["energy_wh"]
    if energy is None:
        pytest.skip("the driver does not report the energy of this GPU")
    assert 0 < energy < 10
