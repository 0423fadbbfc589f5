import pytest

from caft.running.launchers import started_processes

SHELL = "exec accelerate launch --config_file {file} --num_machines 2 --num_processes 8"


@pytest.mark.parametrize(
    ("words", "processes"),
    [
        (["accelerate", "launch", "--num_processes", "4"], 4),
        (["accelerate", "launch", "--config_file", "{file}", "--num-processes=3"], 3),
        (["accelerate", "launch", "--config_file", "{file}"], 2),
        (["accelerate", "launch", "--config_file={file}"], 2),
        (["torchrun", "--standalone", "--nproc-per-node", "2"], 2),
        (["torchrun", "--nnodes=2", "--nproc_per_node=4"], 8),
        (["srun", "sh", "-c", SHELL, "launch"], 8),
        (["accelerate", "launch", "--config_file", "nowhere.yaml"], None),
        (["torchrun", "--nproc-per-node", "gpu"], None),
        ([], None),
    ],
)
def test_a_launcher_says_how_many_processes_it_starts(tmp_path, words, processes):
    file = tmp_path / "two.yaml"
    file.write_text("num_processes: 2\n")
    assert started_processes([word.format(file=file) for word in words]) == processes


@pytest.mark.parametrize("text", ["", "- a", "num_processes: all", "{"])
def test_a_file_that_tells_no_number_tells_nothing(tmp_path, text):
    (tmp_path / "own.yaml").write_text(text)
    assert started_processes(["--config_file", str(tmp_path / "own.yaml")]) is None
