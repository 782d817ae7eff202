# The grid's runs -> the best KAN scheme of a data set -> follow-up experiments by that scheme.

FOLLOW_UPS = {follow_up.name: follow_up for follow_up in STUDY.follow_ups()}
# Rows for their table need the follow-ups' settings, those of the grid do not.
FOLLOW_UP_GRID = {**STUDY.grid, "follow_ups": STUDY.settings["follow_ups"]}


wildcard_constraints:
    follow_up=r"[a-z_]+/[a-z0-9_]+/seed\d+",


localrules:
    best_scheme,
    follow_up_tables,


rule best_scheme:
    input:
        rules.tables.output.runs,
    output:
        f"{OUT}/best/{{dataset}}.json",
    log:
        f"{OUT}/logs/best/{{dataset}}.log",
    benchmark:
        f"{OUT}/benchmarks/best/{{dataset}}.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/best_scheme.py"),
    message:
        "choose the scheme of the follow-ups on {wildcards.dataset}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/best_scheme.py --runs {input:q} --dataset {wildcards.dataset}'
        " --out {output:q} --code {params.code} 2> {log:q}"


use rule train as follow_up with:
    input:
        summary=lambda wildcards: f"results/data/{FOLLOW_UPS[wildcards.follow_up].dataset}.json",
        data=lambda wildcards: ancient(
            f"results/data/{FOLLOW_UPS[wildcards.follow_up].dataset}.safetensors"
        ),
        scheme=lambda wildcards: f"{OUT}/best/{FOLLOW_UPS[wildcards.follow_up].dataset}.json",
    output:
        history=f"{OUT}/follow_ups/{{follow_up}}/history.parquet",
        timings=f"{OUT}/follow_ups/{{follow_up}}/timings.parquet",
    log:
        f"{OUT}/logs/follow_ups/{{follow_up}}.log",
    benchmark:
        f"{OUT}/benchmarks/follow_ups/{{follow_up}}.tsv"
    params:
        code=planned_digest(
            "workflow_scripts/train.py", *networks.modules("kan"), objectives.MODULES["backprop"]
        ),
        sweeps=lambda wildcards, input: (
            f"--scheme {shlex.quote(input.scheme)} --follow-up "
            + shlex.quote(json.dumps(FOLLOW_UPS[wildcards.follow_up].to_dict(), sort_keys=True))
        ),
        study=STUDY.name,
        protocol=STUDY.protocol,
    message:
        "follow up {wildcards.follow_up}"


use rule tables as follow_up_tables with:
    input:
        expand(
            f"{OUT}/follow_ups/{{follow_up}}/{{table}}.parquet",
            follow_up=FOLLOW_UPS,
            table=["history", "timings"],
        ),
    output:
        history=f"{OUT}/tables/follow_up_history.parquet",
        runs=f"{OUT}/tables/follow_up_runs.parquet",
        csv=f"{OUT}/tables/follow_up_runs.csv",
        timings=f"{OUT}/tables/follow_up_timings.parquet",
    log:
        f"{OUT}/logs/follow_up_tables.log",
    benchmark:
        f"{OUT}/benchmarks/follow_up_tables.tsv"
    params:
        code=planned_digest("workflow_scripts/tables.py"),
        study=json.dumps({"name": STUDY.name, "settings": FOLLOW_UP_GRID}, sort_keys=True),
        jobs="follow_ups",
        folder=lambda wildcards, output: str(Path(output.history).parents[1] / "follow_ups"),
    message:
        f"put the follow-ups of study {STUDY.name} together"
