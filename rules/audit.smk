# A clean study trained again under the published protocol and each departure -> what each changes.

AUDIT_GRID = {
    **changes.audited(STUDY, "clean").grid,
    **{key: STUDY.settings[key] for key in ("protocol", "departures", "audit")},
}


localrules:
    audit,


rule audit:
    input:
        runs=f"{OUT}/tables/audit/runs.parquet",
        published=PUBLISHED_COMPARISONS,
        dimensions=PUBLISHED_DIMENSIONS,
    output:
        effects=f"{OUT}/tables/audit.parquet",
        csv=f"{OUT}/tables/audit.csv",
        claims=f"{OUT}/audit_claims.json",
    log:
        f"{OUT}/logs/audit.log",
    benchmark:
        f"{OUT}/benchmarks/audit.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=planned_digest("workflow_scripts/audit.py"),
        study=json.dumps({"name": STUDY.name, "settings": shareable(AUDIT_GRID)}, sort_keys=True),
    message:
        f"compare the protocols of study {STUDY.name}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/audit.py --study {params.study:q} --runs {input.runs:q}'
        " --published {input.published:q} --dimensions {input.dimensions:q}"
        " --effects {output.effects:q} --csv {output.csv:q} --claims {output.claims:q}"
        " --code {params.code} 2> {log:q}"
