# Tables, figures and verdicts -> one HTML file, and the same as Markdown.

# Figures in the order of the report, each with the experiment that it shows.
SHOWN = {
    "firmness": "grid",
    "accuracy_bars": "grid",
    **({"hsic_accuracy": "grid"} if "hsic" in STUDY.settings["objectives"] else {}),
    "scheme_boxplots": "grid",
    "sensitivity": "grid",
    "scheme_heatmaps": "grid",
    "learning_curves": "grid",
    "best_epochs": "grid",
    "parameters_accuracy": "grid",
    "time_parameters": "grid",
    **({"dimension_accuracy": "grid"} if LANDSCAPES else {}),
    "dimension_estimates": "grid",
    "efficiency_bars": "grid",
    "parameters_efficiency": "grid",
    "efficiency_ranks": "grid",
    "activation_accuracy": "activation",
    "width_degree": "width_degree",
    "degree_depth": "width_degree",
    "grid_size": "grid_size",
    "departures": "audit",
    "stability_effects": "stability",
}
CONDUCTED = {job.label for job in JOBS.values()}
REPORTED = [figure for figure, experiment in SHOWN.items() if experiment in CONDUCTED]


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
        claims=rules.claims.output,
        firmness=rules.firmness_table.output.table,
        published=PUBLISHED_FIGURES,
        data=expand("results/data/{dataset}.json", dataset=STUDY.settings["datasets"]),
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
        study=json.dumps({"name": STUDY.name, "settings": STUDY.settings}, sort_keys=True),
        experiments=" ".join(SHOWN[figure] for figure in REPORTED),
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
