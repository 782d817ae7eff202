# The networks that are kept and the data that they have not seen -> what they do.


rule inspection:
    input:
        networks=KEPT,
        summaries=[*map(prepared, STUDY.settings["datasets"])],
        data=ancient([prepared(name, "safetensors") for name in STUDY.settings["datasets"]]),
    output:
        confusion=f"{OUT}/tables/confusion.parquet",
        class_accuracy=f"{OUT}/tables/class_accuracy.parquet",
        edges=f"{OUT}/tables/edges.parquet",
        first_layers=f"{OUT}/tables/first_layers.parquet",
        csv=[f"{OUT}/tables/confusion.csv", f"{OUT}/tables/class_accuracy.csv"],
    log:
        f"{OUT}/logs/inspection.log",
    benchmark:
        f"{OUT}/benchmarks/inspection.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=growing(whole_job(4000)),
        runtime=growing(240, resources.MAX_MINUTES),
        slurm_extra=WARNED,
    params:
        code=lambda wildcards: planned_digest(
            "workflow_scripts/inspection.py",
            *{
                module
                for sweep in KEPT_SWEEPS.values()
                for module in networks.modules(sweep.architecture.model)
            },
        ),
        sweeps=lambda wildcards: filed([sweep.to_dict() for sweep in KEPT_SWEEPS.values()]),
    message:
        f"look into the best networks of study {STUDY.name}"
    shell:
        f"{KEPT_LOG}"
        'exec python -P "$KANCORE_RUN" workflow_scripts/inspection.py --sweeps {params.sweeps:q}'
        " --networks {input.networks:q} --data {input.data:q}"
        " --out {output.confusion:q} {output.class_accuracy:q} {output.edges:q}"
        " {output.first_layers:q} --csv {output.csv:q} --code {params.code} 2>> {log:q}"
