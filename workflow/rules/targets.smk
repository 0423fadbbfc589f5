# What can be asked for by name. Everything behind the mixtures goes through the checkpoint, rule all too:
# a bucket change that moves no item then runs nothing else.


rule data:
    input:
        expand("data/items/{dataset}.parquet", dataset=DATASETS),


rule scores:
    input:
        expand(
            "data/scores/{dataset}/{student}/{prompt}.parquet",
            dataset=DATASETS,
            student=STUDENTS,
            prompt=settings.prompts_used(config),
        ),


rule buckets:
    input:
        expand(
            "data/buckets/{dataset}/{student}/{buckets}.parquet",
            dataset=DATASETS,
            student=STUDENTS,
            buckets=settings.buckets_used(config),
        ),


rule rationales:
    input:
        expand(
            "data/rationales/{dataset}/{student}/{teacher}.parquet",
            dataset=DATASETS,
            student=STUDENTS,
            teacher=settings.teachers_used(config),
        ),


rule mixtures:
    input:
        expand("data/mixtures/{dataset}/{student}/plan.json", dataset=DATASETS, student=STUDENTS),


rule models:
    input:
        all_models,


rule predictions:
    input:
        all_predictions,


rule summary:
    input:
        all_results,
