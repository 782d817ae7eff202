# The runs of a study and the published figures -> verdicts on the paper's claims.

PUBLISHED_FIGURES = from_here("published/accuracies.csv")


localrules:
    claims,


rule claims:
    input:
        runs=rules.tables.output.runs,
        follow_ups=rules.follow_up_tables.output.runs if FOLLOW_UPS else [],
        published=PUBLISHED_FIGURES,
        dimensions=PUBLISHED_DIMENSIONS,
    output:
        f"{OUT}/claims.json",
    log:
        f"{OUT}/logs/claims.log",
    benchmark:
        f"{OUT}/benchmarks/claims.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=planned_digest("workflow_scripts/claims.py"),
        study=STUDY.name,
        follow_ups=lambda wildcards, input: (
            f"--follow-ups {shlex.quote(input.follow_ups)}" if FOLLOW_UPS else ""
        ),
    message:
        f"test the claims on study {STUDY.name}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/claims.py --study {params.study} --runs {input.runs:q}'
        " {params.follow_ups} --published {input.published:q}"
        " --dimensions {input.dimensions:q} --out {output:q} --code {params.code} 2> {log:q}"
