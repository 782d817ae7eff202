# Tables, figures and verdicts -> one HTML file, and the same as Markdown.

# What a study must have for figures to be shown.
CONDUCTED = {
    *STUDY.settings["objectives"],
    *(["landscapes"] if LANDSCAPES else []),
    *(["networks"] if KEPT else []),
    *(job.label for job in JOBS.values()),
}
REPORTED = {
    name: figure
    for name, figure in FIGURES.items()
    if {figure.experiment, figure.needs} <= CONDUCTED
}


localrules:
    report,


rule report:
    input:
        runs=[*tables_of("grid", "runs"), *tables_of("follow_ups", "runs")],
        timings=[table for name in experiments.EXPERIMENTS for table in tables_of(name, "timings")],
        audit=(
            [*tables_of("audit", "runs"), rules.audit.output.effects, rules.audit.output.claims]
            if tables_of("audit", "runs")
            else []
        ),
        stability=(
            [
                rules.stability.output.table,
                rules.combination.output,
                *tables_of("stability", "runs"),
            ]
            if tables_of("stability", "runs")
            else []
        ),
        claims=rules.claims.output.claims,
        firmness=rules.claims.output.firmness,
        published=PUBLISHED_FIGURES,
        data=[*map(prepared, STUDY.settings["datasets"])],
        figures=expand(f"{OUT}/figures/{{figure}}.svg", figure=REPORTED),
        captions=expand(from_here("report/{figure}.rst"), figure=REPORTED),
        templates=[from_here("report/report.html.j2"), from_here("report/report.md.j2")],
    output:
        html=f"{OUT}/report.html",
        markdown=f"{OUT}/report.md",
    log:
        f"{OUT}/logs/report.log",
    benchmark:
        f"{OUT}/benchmarks/report.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/report.py"),
        study=json.dumps(
            {"name": STUDY.name, "settings": shareable(STUDY.settings)}, sort_keys=True
        ),
        experiments=" ".join(figure.experiment for figure in REPORTED.values()),
        audit=lambda wildcards, input: (f"--audit {shlex.join(input.audit)}" if input.audit else ""),
        stability=lambda wildcards, input: (
            f"--stability {shlex.join(input.stability)}" if input.stability else ""
        ),
    message:
        f"write the report of study {STUDY.name}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/report.py --study {params.study:q}'
        " --runs {input.runs:q} --timings {input.timings:q} --claims {input.claims:q}"
        " --firmness {input.firmness:q}"
        " --published {input.published:q} --data {input.data:q} --figures {input.figures:q}"
        " --captions {input.captions:q} --experiments {params.experiments} {params.audit}"
        " {params.stability}"
        " --templates {input.templates:q} --out {output:q} --code {params.code} 2> {log:q}"
