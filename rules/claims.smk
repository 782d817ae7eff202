# The runs of a study and what is published -> verdicts on the paper's claims, and how firm.

PUBLISHED_FIGURES = from_here("published/accuracies.csv")
PUBLISHED_COMPARISONS = from_here("published/comparisons.csv")


localrules:
    claims,


rule claims:
    input:
        runs=f"{OUT}/tables/grid/runs.parquet",
        timings=f"{OUT}/tables/grid/timings.parquet",
        follow_ups=tables_of("follow_ups", "runs"),
        histories=[*tables_of("grid", "history"), *tables_of("follow_ups", "history")],
        published=PUBLISHED_COMPARISONS,
        dimensions=PUBLISHED_DIMENSIONS,
        estimates=rules.intrinsic_dimension.output.estimates,
    output:
        claims=f"{OUT}/claims.json",
        verdicts=f"{OUT}/tables/verdicts.parquet",
        firmness=f"{OUT}/tables/firmness.parquet",
        csv=[f"{OUT}/tables/verdicts.csv", f"{OUT}/tables/firmness.csv"],
    log:
        f"{OUT}/logs/claims.log",
    benchmark:
        f"{OUT}/benchmarks/claims.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=planned_digest("workflow_scripts/claims.py"),
        study=STUDY.name,
        follow_ups=lambda wildcards, input: (
            f"--follow-ups {shlex.join(input.follow_ups)}" if input.follow_ups else ""
        ),
    message:
        f"test the claims on study {STUDY.name}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/claims.py --study {params.study} --runs {input.runs:q}'
        " --timings {input.timings:q} {params.follow_ups} --histories {input.histories:q}"
        " --published {input.published:q}"
        " --dimensions {input.dimensions:q} --estimates {input.estimates:q} --out {output.claims:q}"
        " --tables {output.verdicts:q} {output.firmness:q} --csv {output.csv:q} --code {params.code} 2> {log:q}"
