"""What is said when Slurm's controller goes away and comes back."""

from caft.running import controller


def test_only_a_change_is_told(monkeypatch):
    looks = iter([True, True, False, False, True, True])
    monkeypatch.setattr(controller.time, "strftime", lambda form: "21:03")
    change = controller.changes_of(lambda: next(looks))
    assert [change() for _ in range(6)] == [
        None,
        None,
        "Slurm's controller does not answer (21:03). This run waits for it, and its jobs go on; "
        "nothing is lost (docs/cluster.md).",
        None,
        "Slurm's controller answers again; it was away since 21:03.",
        None,
    ]


def test_a_failing_ping_is_no_answer_and_a_missing_program_asks_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert controller.answers() is True
    for status, expected in ((0, True), (1, False)):
        program = tmp_path / "scontrol"
        program.write_text(f"#!/bin/sh\nexit {status}\n")
        program.chmod(0o755)
        assert controller.answers() is expected
