# KANs under each factor that may make them stable -> what helps, together too -> what each changes.

STABILITY = {varied.name: varied for varied in STUDY.stability()}
COMBINED = {combined.name: combined for combined in STUDY.combined()}
STABILITY_STUDY = json.dumps(
    {
        "name": STUDY.name,
        "settings": {
            **STUDY.changed_by([]).grid,
            "stability": STUDY.settings["stability"],
        },
    },
    sort_keys=True,
)


wildcard_constraints:
    varied=r"(?!combined/)[a-z0-9_]+/[a-z0-9_]+/.+/seed\d+",
    combined=r"combined/[a-z0-9_]+/.+/seed\d+",


localrules:
    stability_tables,
    combination,
    combination_tables,
    stability,


use rule train as stability_train with:
    input:
        summary=lambda wildcards: f"results/data/{STABILITY[wildcards.varied].series.sweeps[0].dataset}.json",
        data=lambda wildcards: ancient(
            f"results/data/{STABILITY[wildcards.varied].series.sweeps[0].dataset}.safetensors"
        ),
    output:
        history=f"{OUT}/stability/{{varied}}/history.parquet",
        timings=f"{OUT}/stability/{{varied}}/timings.parquet",
    log:
        f"{OUT}/logs/stability/{{varied}}.log",
    benchmark:
        f"{OUT}/benchmarks/stability/{{varied}}.tsv"
    params:
        code=training_code,
        sweeps=lambda wildcards: (
            f"--experiment stability {sweeps_argument(STABILITY[wildcards.varied].series)}"
        ),
        study=STUDY.name,
        protocol=lambda wildcards: STABILITY[wildcards.varied].changed,
    message:
        "stability: train {wildcards.varied}"


use rule tables as stability_tables with:
    input:
        expand(
            f"{OUT}/stability/{{varied}}/{{table}}.parquet",
            varied=STABILITY,
            table=["history", "timings"],
        ),
    output:
        history=f"{OUT}/tables/stability_history.parquet",
        runs=f"{OUT}/tables/stability_runs.parquet",
        csv=f"{OUT}/tables/stability_runs.csv",
        timings=f"{OUT}/tables/stability_timings.parquet",
    log:
        f"{OUT}/logs/stability_tables.log",
    benchmark:
        f"{OUT}/benchmarks/stability_tables.tsv"
    params:
        code=planned_digest("workflow_scripts/tables.py"),
        study=STABILITY_STUDY,
        jobs="stability",
        folder=lambda wildcards, output: str(Path(output.history).parents[1] / "stability"),
    message:
        f"put the factors of study {STUDY.name} together"


rule combination:
    input:
        history=rules.stability_tables.output.history,
        runs=rules.stability_tables.output.runs,
    output:
        f"{OUT}/best/combination.json",
    log:
        f"{OUT}/logs/combination.log",
    benchmark:
        f"{OUT}/benchmarks/combination.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/combination.py"),
        study=STABILITY_STUDY,
    message:
        f"choose the factors of study {STUDY.name} that help together"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/combination.py --study {params.study:q}'
        " --history {input.history:q} --runs {input.runs:q} --out {output:q}"
        " --code {params.code} 2> {log:q}"


use rule train as combination_train with:
    input:
        summary=lambda wildcards: f"results/data/{COMBINED[wildcards.combined].series.sweeps[0].dataset}.json",
        data=lambda wildcards: ancient(
            f"results/data/{COMBINED[wildcards.combined].series.sweeps[0].dataset}.safetensors"
        ),
        jobs=rules.combination.output,
    output:
        history=f"{OUT}/stability/{{combined}}/history.parquet",
        timings=f"{OUT}/stability/{{combined}}/timings.parquet",
    log:
        f"{OUT}/logs/stability/{{combined}}.log",
    benchmark:
        f"{OUT}/benchmarks/stability/{{combined}}.tsv"
    params:
        code=training_code,
        sweeps=lambda wildcards, input: (
            f"--experiment stability --job {shlex.quote(wildcards.combined)} --jobs "
            + shlex.quote(str(input.jobs))
        ),
        study=STUDY.name,
        protocol="combined",
    message:
        "stability: train {wildcards.combined}"


use rule tables as combination_tables with:
    input:
        expand(
            f"{OUT}/stability/{{combined}}/{{table}}.parquet",
            combined=COMBINED,
            table=["history", "timings"],
        ),
    output:
        history=f"{OUT}/tables/combined_history.parquet",
        runs=f"{OUT}/tables/combined_runs.parquet",
        csv=f"{OUT}/tables/combined_runs.csv",
        timings=f"{OUT}/tables/combined_timings.parquet",
    log:
        f"{OUT}/logs/combination_tables.log",
    benchmark:
        f"{OUT}/benchmarks/combination_tables.tsv"
    params:
        code=planned_digest("workflow_scripts/tables.py"),
        study=STABILITY_STUDY,
        jobs="combined",
        folder=lambda wildcards, output: str(Path(output.history).parents[1] / "stability"),
    message:
        f"put the combined factors of study {STUDY.name} together"


rule stability:
    input:
        history=[
            rules.stability_tables.output.history,
            rules.combination_tables.output.history,
        ],
        runs=[rules.stability_tables.output.runs, rules.combination_tables.output.runs],
    output:
        table=f"{OUT}/tables/stability.parquet",
        csv=f"{OUT}/tables/stability.csv",
    log:
        f"{OUT}/logs/stability.log",
    benchmark:
        f"{OUT}/benchmarks/stability.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/stability.py"),
    message:
        f"compare the factors of study {STUDY.name}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/stability.py --history {input.history:q}'
        " --runs {input.runs:q} --out {output.table:q} --csv {output.csv:q}"
        " --code {params.code} 2> {log:q}"
