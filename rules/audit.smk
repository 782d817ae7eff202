# A clean study trained again under the published protocol and each departure -> what each changes.

AUDIT = {audited.name: audited for audited in STUDY.audit()}
AUDIT_GRID = {
    **STUDY.audited("clean").grid,
    **{key: STUDY.settings[key] for key in ("protocol", "departures", "audit")},
}


wildcard_constraints:
    audited=r"[a-z_]+/[a-z0-9_]+/.+/seed\d+",


localrules:
    audit_tables,
    audit,


use rule train as audit_train with:
    input:
        summary=lambda wildcards: f"results/data/{AUDIT[wildcards.audited].series.sweeps[0].dataset}.json",
        data=lambda wildcards: ancient(
            f"results/data/{AUDIT[wildcards.audited].series.sweeps[0].dataset}.safetensors"
        ),
    output:
        history=f"{OUT}/audit/{{audited}}/history.parquet",
        timings=f"{OUT}/audit/{{audited}}/timings.parquet",
    log:
        f"{OUT}/logs/audit/{{audited}}.log",
    benchmark:
        f"{OUT}/benchmarks/audit/{{audited}}.tsv"
    params:
        code=training_code,
        sweeps=lambda wildcards: (
            f"--experiment audit {sweeps_argument(AUDIT[wildcards.audited].series)}"
        ),
        study=STUDY.name,
        protocol=lambda wildcards: AUDIT[wildcards.audited].changed,
    message:
        "audit {wildcards.audited}"


use rule tables as audit_tables with:
    input:
        expand(
            f"{OUT}/audit/{{audited}}/{{table}}.parquet",
            audited=AUDIT,
            table=["history", "timings"],
        ),
    output:
        history=f"{OUT}/tables/audit_history.parquet",
        runs=f"{OUT}/tables/audit_runs.parquet",
        csv=f"{OUT}/tables/audit_runs.csv",
        timings=f"{OUT}/tables/audit_timings.parquet",
    log:
        f"{OUT}/logs/audit_tables.log",
    benchmark:
        f"{OUT}/benchmarks/audit_tables.tsv"
    params:
        code=planned_digest("workflow_scripts/tables.py"),
        study=json.dumps({"name": STUDY.name, "settings": AUDIT_GRID}, sort_keys=True),
        jobs="audit",
        folder=lambda wildcards, output: str(Path(output.history).parents[1] / "audit"),
    message:
        f"put the audit of study {STUDY.name} together"


rule audit:
    input:
        runs=rules.audit_tables.output.runs,
        published=PUBLISHED_FIGURES,
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
        study=json.dumps({"name": STUDY.name, "settings": AUDIT_GRID}, sort_keys=True),
    message:
        f"compare the protocols of study {STUDY.name}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/audit.py --study {params.study:q} --runs {input.runs:q}'
        " --published {input.published:q} --dimensions {input.dimensions:q}"
        " --effects {output.effects:q} --csv {output.csv:q} --claims {output.claims:q}"
        " --code {params.code} 2> {log:q}"
