# A table -> a figure. kancore/figures/declared.py says which there are.

FIGURE_STYLE = json.dumps(STUDY.settings["figure_style"], sort_keys=True)
# The tables that figures are drawn from.
TABLES = {
    **{table: f"{OUT}/tables/grid/{table}.parquet" for table in ("history", "runs", "timings")},
    "follow_ups": f"{OUT}/tables/follow_ups/runs.parquet",
    "landscapes": rules.intrinsic_dimension.output.landscapes,
    "intrinsic_dimension": rules.intrinsic_dimension.output.estimates,
    "efficiency": rules.efficiency.output.efficiency,
    "audit": rules.audit.output.effects,
    "stability": rules.stability.output.table,
    "firmness": rules.claims.output.firmness,
    "verdicts": rules.claims.output.verdicts,
    **{
        table: f"{OUT}/tables/{table}.parquet"
        for table in ("confusion", "class_accuracy", "edges", "first_layers")
    },
}


for figure, declared in FIGURES.items():

    rule:
        name:
            figure
        input:
            table=TABLES[declared.table],
        output:
            png=f"{OUT}/figures/{figure}.png",
            pdf=f"{OUT}/figures/{figure}.pdf",
            svg=report(
                f"{OUT}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category=declared.category,
                labels={"figure": declared.label},
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
            schema=declared.table,
            code=figure_code(figure),
            style=FIGURE_STYLE,
        message:
            "draw {params.figure}"
        shell:
            'python -P "$KANCORE_RUN" workflow_scripts/figure.py --figure {params.figure} --table {input.table:q}'
            " --schema {params.schema} --style {params.style:q} --out {output.png:q} {output.svg:q} {output.pdf:q}"
            " --code {params.code} 2> {log:q}"
