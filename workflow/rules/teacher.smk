CHOOSING = resolve.choosing_teachers(CONFIG)
RATIONALE_SHARD = shard_pattern("rationales")
if CHOOSING and shards_of("rationales") == 1:
    RATIONALE_SHARD += "|[.]shards/1-of-1"


# Paid answers go to a store that no rule declares: Snakemake deletes what a rule declares.
rule generate_rationales:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
        buckets=buckets_of_teacher,
        ranking=ranking_tables,
        model=teacher_files,
        trained=sampled_model,
        before=rationales_before,
    output:
        rationales=layout.sharded(layout.RATIONALES),
        quarantine=layout.sharded(layout.REJECTED_ANSWERS),
    params:
        **WRITER,
        teacher=lambda wildcards: CONFIG.teachers[wildcards.teacher].plain(),
        files=lambda wildcards: fingerprints(teacher_files(wildcards)),
        strategies=lambda wildcards: plain(asking_strategies(wildcards)),
        seeds=lambda wildcards: resolve.asking_seeds(
            CONFIG.run.seeds, asking_strategies(wildcards).values()
        ),
        rankers=rankers,
        prompt=lambda wildcards: CONFIG.prompts[CONFIG.teachers[wildcards.teacher].prompt].plain(),
        engine=WRITING_ENGINE,
        seed=CONFIG.seed,
        store=layout.TEACHER_STORE,
        code=versions.RATIONALES,
    log:
        "logs/generate_rationales/{dataset}.{student}.{round}.{teacher}{shard}.log",
    wildcard_constraints:
        shard=RATIONALE_SHARD,
    threads: ASKING.threads
    resources:
        **ASKING.resources,
    message:
        "Collecting rationales of {wildcards.teacher} for {wildcards.dataset}"
    script:
        "../scripts/generate_rationales.py"


if shards_of("rationales") > 1:

    rule merge_rationales:
        input:
            shards=shards_of_rationales,
        output:
            rationales=layout.RATIONALES,
            quarantine=layout.REJECTED_ANSWERS,
        log:
            "logs/merge_rationales/{dataset}.{student}.{round}.{teacher}.log",
        resources:
            mem_mb=4000,
        message:
            "Joining the rationales of {wildcards.teacher} for {wildcards.dataset}"
        script:
            "../scripts/merge_rationales.py"


if CHOOSING:

    # Their answers come from shards, one at least: what is chosen lies where others' answers lie.
    ruleorder: choose_rationales > generate_rationales

    if shards_of("rationales") > 1:

        ruleorder: choose_rationales > merge_rationales

    rule choose_rationales:
        input:
            item_table=layout.ITEMS,
            student=layout.STUDENT,
            shards=shards_of_rationales,
        output:
            rationales=layout.RATIONALES,
            quarantine=layout.REJECTED_ANSWERS,
            run=layout.run_of(layout.RATIONALES),
        params:
            prompt=CONFIG.prompts[CONFIG.prompt].plain(),
            engine=resolve.compute_of(CONFIG),
            seed=CONFIG.seed,
            thoughts=lambda wildcards: any(
                strategy.needs_reasoning for strategy in asking_strategies(wildcards).values()
            ),
            code=versions.CHOICES,
        log:
            "logs/choose_rationales/{dataset}.{student}.{round}.{teacher}.log",
        wildcard_constraints:
            teacher="|".join(CHOOSING),
        threads: SCORING.threads
        resources:
            **SCORING.resources,
        message:
            "Choosing the rationales of {wildcards.teacher} that {wildcards.student} finds likely"
        script:
            "../scripts/choose_rationales.py"


rule plan_teacher:
    input:
        item_tables=expand(layout.ITEMS, dataset=DATASETS),
        students=expand(layout.STUDENT, student=STUDENTS),
        buckets=first_buckets,
        ranking=first_rankings,
        trained=first_samplers,
    output:
        report(
            layout.TEACHER_PLAN,
            caption="../report/teacher_plan.rst",
            category="Teacher",
        ),
    params:
        config=CONFIG.plain(),
        store=layout.TEACHER_STORE,
        state=store_state,
        code=versions.SUMMARY,
    log:
        "logs/plan_teacher/plan_teacher.log",
    message:
        "Planning what the teachers have to be asked for"
    script:
        "../scripts/plan_teacher.py"


rule tabulate_teacher:
    input:
        item_tables=expand(layout.ITEMS, dataset=DATASETS),
        buckets=all_buckets,
        rationales=all_rationales,
    output:
        spend=report(
            layout.TEACHER_SPEND,
            caption="../report/teacher_spend.rst",
            category="Teacher",
        ),
        acceptance=report(
            layout.TEACHER_ACCEPTANCE,
            caption="../report/teacher_acceptance.rst",
            category="Teacher",
        ),
    params:
        pairs=[(dataset, student) for dataset in DATASETS for student in STUDENTS],
        taught=[asdict(asked) for asked in rounds.taught(CONFIG)],
        code=versions.SUMMARY,
    log:
        "logs/tabulate_teacher/tabulate_teacher.log",
    message:
        "Counting what the teachers' answers took and how many were accepted"
    script:
        "../scripts/tabulate_teacher.py"


rule judge_items:
    input:
        item_table=layout.ITEMS,
        student=layout.at(layout.STUDENT, student=STUDENTS[0]),  # its tokenizer counts what nobody else does
        model=judge_files,
    output:
        layout.JUDGEMENTS,
    params:
        judge=lambda wildcards: CONFIG.judges[wildcards.judge].plain(),
        files=lambda wildcards: fingerprints(judge_files(wildcards)),
        engine=resolve.compute_of(CONFIG),
        store=layout.JUDGE_STORE,
        code=versions.JUDGEMENTS,
    log:
        "logs/judge_items/{dataset}.{judge}.log",
    threads: ASKING.threads
    resources:
        **ASKING.resources,
    message:
        "Judging {wildcards.dataset} with {wildcards.judge}"
    script:
        "../scripts/judge_items.py"


rule ask_first_tokens:
    input:
        item_table=layout.ITEMS,
        student=layout.at(layout.STUDENT, student=STUDENTS[0]),  # as above
    output:
        layout.FIRST_TOKENS,
    params:
        name=lambda wildcards: metric_slice(wildcards).teacher,
        teacher=lambda wildcards: CONFIG.teachers[metric_slice(wildcards).teacher].plain(),
        prompt=lambda wildcards: CONFIG.prompts[metric_slice(wildcards).prompt].plain(),
        engine=resolve.compute_of(CONFIG),
        seed=CONFIG.seed,
        store=layout.TEACHER_STORE,
        code=versions.FIRST_TOKENS,
    log:
        "logs/ask_first_tokens/{dataset}.{metric}.log",
    threads: ASKING.threads
    resources:
        **ASKING.resources,
    message:
        "Asking for the first tokens of {wildcards.dataset}"
    script:
        "../scripts/ask_first_tokens.py"
