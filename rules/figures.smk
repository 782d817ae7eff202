# A table -> a figure. Each figure is a rule, a module of kancore.figures and a caption in report/.

FIGURE_STYLE = json.dumps(STUDY.settings["figure_style"], sort_keys=True)


localrules:
    accuracy_bars,
    hsic_accuracy,
    scheme_boxplots,
    learning_curves,
    parameters_accuracy,
    best_epochs,
    dimension_accuracy,
    dimension_estimates,
    efficiency_bars,
    parameters_efficiency,
    efficiency_ranks,
    sensitivity,
    scheme_heatmaps,
    time_parameters,
    activation_accuracy,
    width_degree,
    degree_depth,
    grid_size,
    departures,
    stability_effects,
    firmness,


rule accuracy_bars:
    input:
        table=rules.tables.output.runs,
    output:
        png=f"{OUT}/figures/accuracy_bars.png",
        svg=report(
            f"{OUT}/figures/accuracy_bars.svg",
            caption="../report/accuracy_bars.rst",
            category="Accuracy",
            labels={"figure": "best scheme of each architecture"},
        ),
    log:
        f"{OUT}/logs/accuracy_bars.log",
    benchmark:
        f"{OUT}/benchmarks/accuracy_bars.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        figure="accuracy_bars",
        code=figure_code("accuracy_bars"),
        style=FIGURE_STYLE,
    message:
        "draw {params.figure}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/figure.py --figure {params.figure} --table {input.table:q}'
        " --style {params.style:q} --out {output.png:q} {output.svg:q}"
        " --code {params.code} 2> {log:q}"


use rule accuracy_bars as hsic_accuracy with:
    output:
        png=f"{OUT}/figures/hsic_accuracy.png",
        svg=report(
            f"{OUT}/figures/hsic_accuracy.svg",
            caption="../report/hsic_accuracy.rst",
            category="Accuracy",
            labels={"figure": "HSIC beside backpropagation"},
        ),
    log:
        f"{OUT}/logs/hsic_accuracy.log",
    benchmark:
        f"{OUT}/benchmarks/hsic_accuracy.tsv"
    params:
        figure="hsic_accuracy",
        code=figure_code("hsic_accuracy"),
        style=FIGURE_STYLE,


use rule accuracy_bars as scheme_boxplots with:
    output:
        png=f"{OUT}/figures/scheme_boxplots.png",
        svg=report(
            f"{OUT}/figures/scheme_boxplots.svg",
            caption="../report/scheme_boxplots.rst",
            category="Accuracy",
            labels={"figure": "spread over schemes"},
        ),
    log:
        f"{OUT}/logs/scheme_boxplots.log",
    benchmark:
        f"{OUT}/benchmarks/scheme_boxplots.tsv"
    params:
        figure="scheme_boxplots",
        code=figure_code("scheme_boxplots"),
        style=FIGURE_STYLE,


use rule accuracy_bars as learning_curves with:
    input:
        table=rules.tables.output.history,
    output:
        png=f"{OUT}/figures/learning_curves.png",
        svg=report(
            f"{OUT}/figures/learning_curves.svg",
            caption="../report/learning_curves.rst",
            category="Training",
            labels={"figure": "learning curves"},
        ),
    log:
        f"{OUT}/logs/learning_curves.log",
    benchmark:
        f"{OUT}/benchmarks/learning_curves.tsv"
    params:
        figure="learning_curves",
        code=figure_code("learning_curves"),
        style=FIGURE_STYLE,


use rule accuracy_bars as parameters_accuracy with:
    output:
        png=f"{OUT}/figures/parameters_accuracy.png",
        svg=report(
            f"{OUT}/figures/parameters_accuracy.svg",
            caption="../report/parameters_accuracy.rst",
            category="Accuracy",
            labels={"figure": "parameters against accuracy"},
        ),
    log:
        f"{OUT}/logs/parameters_accuracy.log",
    benchmark:
        f"{OUT}/benchmarks/parameters_accuracy.tsv"
    params:
        figure="parameters_accuracy",
        code=figure_code("parameters_accuracy"),
        style=FIGURE_STYLE,


use rule accuracy_bars as sensitivity with:
    output:
        png=f"{OUT}/figures/sensitivity.png",
        svg=report(
            f"{OUT}/figures/sensitivity.svg",
            caption="../report/sensitivity.rst",
            category="Accuracy",
            labels={"figure": "best scheme less median scheme"},
        ),
    log:
        f"{OUT}/logs/sensitivity.log",
    benchmark:
        f"{OUT}/benchmarks/sensitivity.tsv"
    params:
        figure="sensitivity",
        code=figure_code("sensitivity"),
        style=FIGURE_STYLE,


use rule accuracy_bars as scheme_heatmaps with:
    output:
        png=f"{OUT}/figures/scheme_heatmaps.png",
        svg=report(
            f"{OUT}/figures/scheme_heatmaps.svg",
            caption="../report/scheme_heatmaps.rst",
            category="Accuracy",
            labels={"figure": "optimizer and learning rate"},
        ),
    log:
        f"{OUT}/logs/scheme_heatmaps.log",
    benchmark:
        f"{OUT}/benchmarks/scheme_heatmaps.tsv"
    params:
        figure="scheme_heatmaps",
        code=figure_code("scheme_heatmaps"),
        style=FIGURE_STYLE,


use rule accuracy_bars as time_parameters with:
    input:
        table=rules.tables.output.timings,
    output:
        png=f"{OUT}/figures/time_parameters.png",
        svg=report(
            f"{OUT}/figures/time_parameters.svg",
            caption="../report/time_parameters.rst",
            category="Training",
            labels={"figure": "time and parameters"},
        ),
    log:
        f"{OUT}/logs/time_parameters.log",
    benchmark:
        f"{OUT}/benchmarks/time_parameters.tsv"
    params:
        figure="time_parameters",
        code=figure_code("time_parameters"),
        style=FIGURE_STYLE,


use rule accuracy_bars as activation_accuracy with:
    input:
        table=rules.follow_up_tables.output.runs,
    output:
        png=f"{OUT}/figures/activation_accuracy.png",
        svg=report(
            f"{OUT}/figures/activation_accuracy.svg",
            caption="../report/activation_accuracy.rst",
            category="Follow-ups",
            labels={"figure": "base activation"},
        ),
    log:
        f"{OUT}/logs/activation_accuracy.log",
    benchmark:
        f"{OUT}/benchmarks/activation_accuracy.tsv"
    params:
        figure="activation_accuracy",
        code=figure_code("activation_accuracy"),
        style=FIGURE_STYLE,


use rule accuracy_bars as width_degree with:
    input:
        table=rules.follow_up_tables.output.runs,
    output:
        png=f"{OUT}/figures/width_degree.png",
        svg=report(
            f"{OUT}/figures/width_degree.svg",
            caption="../report/width_degree.rst",
            category="Follow-ups",
            labels={"figure": "width and degree"},
        ),
    log:
        f"{OUT}/logs/width_degree.log",
    benchmark:
        f"{OUT}/benchmarks/width_degree.tsv"
    params:
        figure="width_degree",
        code=figure_code("width_degree"),
        style=FIGURE_STYLE,


use rule accuracy_bars as degree_depth with:
    input:
        table=rules.follow_up_tables.output.runs,
    output:
        png=f"{OUT}/figures/degree_depth.png",
        svg=report(
            f"{OUT}/figures/degree_depth.svg",
            caption="../report/degree_depth.rst",
            category="Follow-ups",
            labels={"figure": "degree against depth"},
        ),
    log:
        f"{OUT}/logs/degree_depth.log",
    benchmark:
        f"{OUT}/benchmarks/degree_depth.tsv"
    params:
        figure="degree_depth",
        code=figure_code("degree_depth"),
        style=FIGURE_STYLE,


use rule accuracy_bars as grid_size with:
    input:
        table=rules.follow_up_tables.output.runs,
    output:
        png=f"{OUT}/figures/grid_size.png",
        svg=report(
            f"{OUT}/figures/grid_size.svg",
            caption="../report/grid_size.rst",
            category="Follow-ups",
            labels={"figure": "grid size"},
        ),
    log:
        f"{OUT}/logs/grid_size.log",
    benchmark:
        f"{OUT}/benchmarks/grid_size.tsv"
    params:
        figure="grid_size",
        code=figure_code("grid_size"),
        style=FIGURE_STYLE,


use rule accuracy_bars as best_epochs with:
    input:
        table=rules.tables.output.runs,
    output:
        png=f"{OUT}/figures/best_epochs.png",
        svg=report(
            f"{OUT}/figures/best_epochs.svg",
            caption="../report/best_epochs.rst",
            category="Training",
            labels={"figure": "best epochs"},
        ),
    log:
        f"{OUT}/logs/best_epochs.log",
    benchmark:
        f"{OUT}/benchmarks/best_epochs.tsv"
    params:
        figure="best_epochs",
        code=figure_code("best_epochs"),
        style=FIGURE_STYLE,


use rule accuracy_bars as dimension_accuracy with:
    input:
        table=rules.intrinsic_dimension.output.landscapes,
    output:
        png=f"{OUT}/figures/dimension_accuracy.png",
        svg=report(
            f"{OUT}/figures/dimension_accuracy.svg",
            caption="../report/dimension_accuracy.rst",
            category="Intrinsic dimension",
            labels={"figure": "accuracy in random subspaces"},
        ),
    log:
        f"{OUT}/logs/dimension_accuracy.log",
    benchmark:
        f"{OUT}/benchmarks/dimension_accuracy.tsv"
    params:
        figure="dimension_accuracy",
        code=figure_code("dimension_accuracy"),
        style=FIGURE_STYLE,


use rule accuracy_bars as dimension_estimates with:
    input:
        table=rules.intrinsic_dimension.output.estimates,
    output:
        png=f"{OUT}/figures/dimension_estimates.png",
        svg=report(
            f"{OUT}/figures/dimension_estimates.svg",
            caption="../report/dimension_estimates.rst",
            category="Intrinsic dimension",
            labels={"figure": "estimates"},
        ),
    log:
        f"{OUT}/logs/dimension_estimates.log",
    benchmark:
        f"{OUT}/benchmarks/dimension_estimates.tsv"
    params:
        figure="dimension_estimates",
        code=figure_code("dimension_estimates"),
        style=FIGURE_STYLE,


use rule accuracy_bars as efficiency_bars with:
    input:
        table=rules.efficiency.output.efficiency,
    output:
        png=f"{OUT}/figures/efficiency_bars.png",
        svg=report(
            f"{OUT}/figures/efficiency_bars.svg",
            caption="../report/efficiency_bars.rst",
            category="Efficiency",
            labels={"figure": "efficiency and generalization gap"},
        ),
    log:
        f"{OUT}/logs/efficiency_bars.log",
    benchmark:
        f"{OUT}/benchmarks/efficiency_bars.tsv"
    params:
        figure="efficiency_bars",
        code=figure_code("efficiency_bars"),
        style=FIGURE_STYLE,


use rule accuracy_bars as parameters_efficiency with:
    input:
        table=rules.efficiency.output.efficiency,
    output:
        png=f"{OUT}/figures/parameters_efficiency.png",
        svg=report(
            f"{OUT}/figures/parameters_efficiency.svg",
            caption="../report/parameters_efficiency.rst",
            category="Efficiency",
            labels={"figure": "parameters against efficiency"},
        ),
    log:
        f"{OUT}/logs/parameters_efficiency.log",
    benchmark:
        f"{OUT}/benchmarks/parameters_efficiency.tsv"
    params:
        figure="parameters_efficiency",
        code=figure_code("parameters_efficiency"),
        style=FIGURE_STYLE,


use rule accuracy_bars as efficiency_ranks with:
    input:
        table=rules.efficiency.output.ranks,
    output:
        png=f"{OUT}/figures/efficiency_ranks.png",
        svg=report(
            f"{OUT}/figures/efficiency_ranks.svg",
            caption="../report/efficiency_ranks.rst",
            category="Efficiency",
            labels={"figure": "what the dimension changes"},
        ),
    log:
        f"{OUT}/logs/efficiency_ranks.log",
    benchmark:
        f"{OUT}/benchmarks/efficiency_ranks.tsv"
    params:
        figure="efficiency_ranks",
        code=figure_code("efficiency_ranks"),
        style=FIGURE_STYLE,


use rule accuracy_bars as departures with:
    input:
        table=rules.audit.output.effects,
    output:
        png=f"{OUT}/figures/departures.png",
        svg=report(
            f"{OUT}/figures/departures.svg",
            caption="../report/departures.rst",
            category="Audit",
            labels={"figure": "what each departure changes"},
        ),
    log:
        f"{OUT}/logs/departures.log",
    benchmark:
        f"{OUT}/benchmarks/departures.tsv"
    params:
        figure="departures",
        code=figure_code("departures"),
        style=FIGURE_STYLE,


use rule accuracy_bars as stability_effects with:
    input:
        table=rules.stability.output.table,
    output:
        png=f"{OUT}/figures/stability_effects.png",
        svg=report(
            f"{OUT}/figures/stability_effects.svg",
            caption="../report/stability_effects.rst",
            category="Stability",
            labels={"figure": "what each factor changes"},
        ),
    log:
        f"{OUT}/logs/stability_effects.log",
    benchmark:
        f"{OUT}/benchmarks/stability_effects.tsv"
    params:
        figure="stability_effects",
        code=figure_code("stability_effects"),
        style=FIGURE_STYLE,


use rule accuracy_bars as firmness with:
    input:
        table=rules.firmness_table.output.table,
    output:
        png=f"{OUT}/figures/firmness.png",
        svg=report(
            f"{OUT}/figures/firmness.svg",
            caption="../report/firmness.rst",
            category="Claims",
            labels={"figure": "how firm each verdict is"},
        ),
    log:
        f"{OUT}/logs/firmness.log",
    benchmark:
        f"{OUT}/benchmarks/firmness.tsv"
    params:
        figure="firmness",
        code=figure_code("firmness"),
        style=FIGURE_STYLE,
