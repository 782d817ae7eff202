# KANs under each factor that may make them stable -> what helps, together too -> what each changes.

STABILITY_STUDY = json.dumps(
    {
        "name": STUDY.name,
        "settings": shareable(
            {
                **changes.changed_by(STUDY, []).grid,
                "stability": STUDY.settings["stability"],
            }
        ),
    },
    sort_keys=True,
)


localrules:
    combination,
    stability,


rule combination:
    input:
        history=f"{OUT}/tables/stability/history.parquet",
        runs=f"{OUT}/tables/stability/runs.parquet",
    output:
        f"{OUT}/{experiments.HELPFUL_FACTORS}",
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


rule stability:
    input:
        history=expand(
            f"{OUT}/tables/{{experiment}}/history.parquet", experiment=["stability", "combined"]
        ),
        runs=expand(
            f"{OUT}/tables/{{experiment}}/runs.parquet", experiment=["stability", "combined"]
        ),
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
