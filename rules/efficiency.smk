# Runs and intrinsic dimensions -> the efficiency of every run under each source of the dimension.


localrules:
    efficiency,


rule efficiency:
    input:
        runs=f"{OUT}/tables/grid/runs.parquet",
        estimates=rules.intrinsic_dimension.output.estimates,
        published=PUBLISHED_DIMENSIONS,
    output:
        efficiency=f"{OUT}/tables/efficiency.parquet",
        ranks=f"{OUT}/tables/efficiency_ranks.parquet",
        csv=f"{OUT}/tables/efficiency_ranks.csv",
    log:
        f"{OUT}/logs/efficiency.log",
    benchmark:
        f"{OUT}/benchmarks/efficiency.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/efficiency.py"),
    message:
        f"compute the efficiency of all runs of study {STUDY.name}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/efficiency.py --runs {input.runs:q}'
        " --estimates {input.estimates:q} --published {input.published:q}"
        " --efficiency {output.efficiency:q} --ranks {output.ranks:q} --csv {output.csv:q}"
        " --code {params.code} 2> {log:q}"
