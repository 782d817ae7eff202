"""Finished results are replaced by those of other settings with consent alone."""

import json


def test_other_settings_need_a_name_or_consent(project):
    results = project.path / "results" / "tiny"
    files = {path: path.read_bytes() for path in results.rglob("*.parquet")}
    plan = (results / "plan.json").read_bytes()
    shorter = "--config", "replace=false", "epochs=1", *project.GRID_ALONE
    output = project.snakemake("--cores", "2", *shorter, check=False)
    assert (
        "config: 2 finished jobs of results/tiny, such as grid/digits/backprop/kan-32-gelu-degree3-"
        "grid5/0.005/seed0, had other settings and would be replaced; expected a name for these "
        "results (--config name=tiny-audit-epochs-follow_ups-intrinsic_dimension-stability), or "
        "consent (--config replace=true)" in output
    )
    assert {path: path.read_bytes() for path in results.rglob("*.parquet")} == files
    assert (results / "plan.json").read_bytes() == plan
    # What is planned goes elsewhere under a name, and nothing here is trained.
    named = project.snakemake("--cores", "1", "--dry-run", *shorter, "name=mine")
    assert "results/mine/report.html" in named
    assert "results/tiny" not in named
    elsewhere = project.snakemake("results/mine/report.html", "--cores", "1", check=False)
    assert "results/mine/report.html: this call is of the study tiny; expected it" in elsewhere
    # One more seed replaces nothing.
    table = "results/tiny/tables/grid/runs.parquet"
    seeds = "seeds=[0,1]", "models=[mlp]", *project.GRID_ALONE
    project.snakemake(table, "--cores", "2", "--config", *seeds)
    fewer = "--config", "replace=false", *seeds[1:], "seeds=[0]"
    refused = project.snakemake(table, "--cores", "1", *fewer, check=False)
    assert "grid/digits/backprop/mlp-32-gelu/0.005/seed1, are none of this call's" in refused
    # What was left out with consent is asked for no second time, but is not replaced without it.
    project.snakemake(table, "--cores", "1", "--config", *fewer[2:])
    project.snakemake(table, "--cores", "1", *fewer)
    shorter = "--config", "replace=false", *seeds, "epochs=1"
    refused = project.snakemake(table, "--cores", "1", *shorter, check=False)
    assert "config: 2 finished jobs of results/tiny" in refused
    project.snakemake(table, "--cores", "2", "--config", "epochs=1", *project.GRID_ALONE)
    history = results / "jobs/grid/digits/backprop/mlp-32-gelu/0.005/seed0/history.parquet"
    assert history.read_bytes() != files[history]
    assert len(json.loads((results / "plan.json").read_text())["jobs"]) == 2
