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


def test_a_controller_that_is_away_is_asked_until_it_answers():
    told, there = iter([None, None, 300]), iter([False, False])
    assert controller.waiting_for(lambda: next(told), lambda: next(there), pause=0)() == 300
    told, there = iter([None, None, 300]), iter([False, True])
    assert controller.waiting_for(lambda: next(told), lambda: next(there), pause=0)() == 300
    told, there = iter([None, None]), iter([True])
    assert controller.waiting_for(lambda: next(told), lambda: next(there), pause=0)() is None


def test_the_plugin_asks_by_the_name_that_is_replaced(monkeypatch):
    import snakemake_executor_plugin_slurm as plugin

    asked = []
    monkeypatch.setattr(plugin, "get_min_job_age", lambda: asked.append("age"))
    monkeypatch.setattr(controller, "answers", lambda: True)
    monkeypatch.setattr(controller.threading.Thread, "start", lambda thread: None)
    controller.watch()
    assert plugin.get_min_job_age() is None and asked == ["age", "age"]
    assert "get_min_job_age" in plugin.Executor.check_active_jobs.__code__.co_names
