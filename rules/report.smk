# Tables and figures -> one HTML file.

# Figures in the order of the report.
REPORTED = [
    "accuracy_bars",
    *(["hsic_accuracy"] if "hsic" in STUDY.settings["objectives"] else []),
    "scheme_boxplots",
    "learning_curves",
    "best_epochs",
    "parameters_accuracy",
    *(["dimension_accuracy"] if LANDSCAPES else []),
    "dimension_estimates",
    "efficiency_bars",
    "parameters_efficiency",
    "efficiency_ranks",
]


localrules:
    report,


rule report:
    input:
        runs=rules.tables.output.runs,
        timings=rules.tables.output.timings,
        figures=expand(f"{OUT}/figures/{{figure}}.svg", figure=REPORTED),
        captions=expand(from_here("report/{figure}.rst"), figure=REPORTED),
        template=from_here("report/report.html.j2"),
    output:
        f"{OUT}/report.html",
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
    message:
        "write the report of study {STUDY.name}"
    shell:
        "python -m workflow_scripts.report --study {params.study:q}"
        " --runs {input.runs:q} --timings {input.timings:q} --figures {input.figures:q}"
        " --captions {input.captions:q} --template {input.template:q} --out {output:q}"
        " --code {params.code} 2> {log:q}"
