# The histories of all sweeps -> one row an evaluation, one row a run, one row a job.


localrules:
    tables,


rule tables:
    input:
        expand(
            f"{OUT}/sweeps/{{series}}/{{table}}.parquet",
            series=SERIES,
            table=["history", "timings"],
        ),
    output:
        history=f"{OUT}/tables/history.parquet",
        runs=f"{OUT}/tables/runs.parquet",
        csv=f"{OUT}/tables/runs.csv",
        timings=f"{OUT}/tables/timings.parquet",
    log:
        f"{OUT}/logs/tables.log",
    benchmark:
        f"{OUT}/benchmarks/tables.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/tables.py"),
        study=json.dumps({"name": STUDY.name, "settings": STUDY.grid}, sort_keys=True),
        jobs="series",
        folder=lambda wildcards, output: str(Path(output.history).parents[1] / "sweeps"),
    message:
        f"put the tables of study {STUDY.name} together"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/tables.py --study {params.study:q} --jobs {params.jobs}'
        " --folder {params.folder:q}"
        " --history {output.history:q} --runs {output.runs:q} --csv {output.csv:q}"
        " --timings {output.timings:q} --code {params.code} 2> {log:q}"
