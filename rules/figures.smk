# A table -> a figure. Each figure is a rule, a module of kancore.figures and a caption in report/.

FIGURE_STYLE = json.dumps(STUDY.settings["figure_style"], sort_keys=True)


localrules:
    accuracy_bars,
    hsic_accuracy,
    scheme_boxplots,
    learning_curves,
    parameters_accuracy,


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
