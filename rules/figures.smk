# A table -> a figure. Each figure is a row here, a module of kancore.figures and a caption in report/.

FIGURE_STYLE = json.dumps(STUDY.settings["figure_style"], sort_keys=True)
# By name the table that a figure is drawn from; its category and its label in Snakemake's report.
DRAWN = {
    "accuracy_bars": (
        rules.tables.output.runs,
        "Accuracy",
        "best scheme of each architecture",
    ),
    "hsic_accuracy": (
        rules.tables.output.runs,
        "Accuracy",
        "HSIC beside backpropagation",
    ),
    "scheme_boxplots": (
        rules.tables.output.runs,
        "Accuracy",
        "spread over schemes",
    ),
    "learning_curves": (
        rules.tables.output.history,
        "Training",
        "learning curves",
    ),
    "parameters_accuracy": (
        rules.tables.output.runs,
        "Accuracy",
        "parameters against accuracy",
    ),
    "sensitivity": (
        rules.tables.output.runs,
        "Accuracy",
        "best scheme less median scheme",
    ),
    "scheme_heatmaps": (
        rules.tables.output.runs,
        "Accuracy",
        "optimizer and learning rate",
    ),
    "time_parameters": (
        rules.tables.output.timings,
        "Training",
        "time and parameters",
    ),
    "activation_accuracy": (
        rules.follow_up_tables.output.runs,
        "Follow-ups",
        "base activation",
    ),
    "width_degree": (
        rules.follow_up_tables.output.runs,
        "Follow-ups",
        "width and degree",
    ),
    "degree_depth": (
        rules.follow_up_tables.output.runs,
        "Follow-ups",
        "degree against depth",
    ),
    "grid_size": (
        rules.follow_up_tables.output.runs,
        "Follow-ups",
        "grid size",
    ),
    "best_epochs": (
        rules.tables.output.runs,
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
