# Input functions and slices of the config that several rules share.


def model_resources(wildcards, attempt):
    """Memory of a model job, more with every retry of the profile."""
    return config["engine"]["mem_mb"] * attempt


def student_slice(wildcards):
    """A student's source, without the warm-up: changing that does not fetch the model again."""
    spec = config["students"][wildcards.student]
    return {key: value for key, value in spec.items() if key != "warm_up"}


def student_files(wildcards):
    """A local student's weights and config, so that a changed model is noticed."""
    folder = config["students"][wildcards.student].get("path")
    return sorted(str(path) for path in Path(folder).iterdir() if path.is_file()) if folder else []


def dataset_files(wildcards):
    """The files behind a data set, so that a changed file is noticed."""
    spec = config["datasets"][wildcards.dataset]
    if spec["adapter"] != "file":
        return []
    return [spec["path"], *([spec["rationales"]["path"]] if "rationales" in spec else [])]


def plan(dataset, student):
    """The models of a data set and student, read once the mixtures are known."""
    from caft.files import read_json

    return read_json(checkpoints.build_mixtures.get(dataset=dataset, student=student).output[0])


def planned_models(dataset, student):
    """Digests of all stages' models, in training order, without repeats."""
    stages = [stage for strategy in plan(dataset, student).values() for stage in strategy["stages"]]
    return list(dict.fromkeys(stage["model"] for stage in stages))


def final_models(dataset, student):
    """What is evaluated: the last model of each strategy, `base` for the untuned student."""
    return list(dict.fromkeys(strategy["final"] for strategy in plan(dataset, student).values()))


def every(pattern, function):
    """Expand a pattern with what a function returns for each data set and student."""
    return [
        pattern.format(dataset=dataset, student=student, name=name)
        for dataset in DATASETS
        for student in STUDENTS
        for name in function(dataset, student)
    ]
