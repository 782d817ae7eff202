# A table -> a figure. Each figure is a row here, a module of kancore.figures and a caption in report/.

FIGURE_STYLE = json.dumps(STUDY.settings["figure_style"], sort_keys=True)
# By name the table that a figure is drawn from; its category and its label in Snakemake's report.
DRAWN = {
    "accuracy_bars": (
        f"{OUT}/tables/grid/runs.parquet",
        "Accuracy",
        "best scheme of each architecture",
    ),
    "hsic_accuracy": (
        f"{OUT}/tables/grid/runs.parquet",
        "Accuracy",
        "HSIC beside backpropagation",
    ),
    "scheme_boxplots": (
        f"{OUT}/tables/grid/runs.parquet",
        "Accuracy",
        "spread over schemes",
    ),
    "learning_curves": (
        f"{OUT}/tables/grid/history.parquet",
        "Training",
        "learning curves",
    ),
    "parameters_accuracy": (
        f"{OUT}/tables/grid/runs.parquet",
        "Accuracy",
        "parameters against accuracy",
    ),
    "sensitivity": (
        f"{OUT}/tables/grid/runs.parquet",
        "Accuracy",
        "best scheme less median scheme",
    ),
    "scheme_heatmaps": (
        f"{OUT}/tables/grid/runs.parquet",
        "Accuracy",
        "optimizer and learning rate",
    ),
    "time_parameters": (
        f"{OUT}/tables/grid/timings.parquet",
        "Training",
        "time and parameters",
    ),
    "activation_accuracy": (
        f"{OUT}/tables/follow_ups/runs.parquet",
        "Follow-ups",
        "base activation",
    ),
    "width_degree": (
        f"{OUT}/tables/follow_ups/runs.parquet",
        "Follow-ups",
        "width and degree",
    ),
    "degree_depth": (
        f"{OUT}/tables/follow_ups/runs.parquet",
        "Follow-ups",
        "degree against depth",
    ),
    "grid_size": (
        f"{OUT}/tables/follow_ups/runs.parquet",
        "Follow-ups",
        "grid size",
    ),
    "best_epochs": (
        f"{OUT}/tables/grid/runs.parquet",
        "Training",
        "best epochs",
    ),
    "dimension_accuracy": (
        rules.intrinsic_dimension.output.landscapes,
        "Intrinsic dimension",
        "accuracy in random subspaces",
    ),
    "dimension_estimates": (
        rules.intrinsic_dimension.output.estimates,
        "Intrinsic dimension",
        "estimates",
    ),
    "efficiency_bars": (
        rules.efficiency.output.efficiency,
        "Efficiency",
        "efficiency and generalization gap",
    ),
    "parameters_efficiency": (
        rules.efficiency.output.efficiency,
        "Efficiency",
        "parameters against efficiency",
    ),
    "efficiency_ranks": (
        rules.efficiency.output.ranks,
        "Efficiency",
        "what the dimension changes",
    ),
    "departures": (
        rules.audit.output.effects,
        "Audit",
        "what each departure changes",
    ),
    "stability_effects": (
        rules.stability.output.table,
        "Stability",
        "what each factor changes",
    ),
    "firmness": (
        rules.firmness_table.output.table,
        "Claims",
        "how firm each verdict is",
    ),
}


for figure, (table, category, label) in DRAWN.items():

    rule:
        name:
            figure
        input:
            table=table,
        output:
            png=f"{OUT}/figures/{figure}.png",
            svg=report(
                f"{OUT}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category=category,
                labels={"figure": label},
            ),
        log:
            f"{OUT}/logs/{figure}.log",
        benchmark:
            f"{OUT}/benchmarks/{figure}.tsv"
        localrule: True
        conda:
            "../envs/kancore.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            figure=figure,
            code=figure_code(figure),
            style=FIGURE_STYLE,
        message:
            "draw {params.figure}"
        shell:
            'python -P "$KANCORE_RUN" workflow_scripts/figure.py --figure {params.figure} --table {input.table:q}'
            " --style {params.style:q} --out {output.png:q} {output.svg:q}"
            " --code {params.code} 2> {log:q}"
