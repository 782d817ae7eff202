# A table -> a figure. Each figure is a rule, a module of kancore.figures and a caption in report/.

FIGURE_STYLE = json.dumps(STUDY.settings["figure_style"], sort_keys=True)


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
        "python -m workflow_scripts.figure --figure {params.figure} --table {input.table:q}"
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
