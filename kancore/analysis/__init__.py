"""What is computed from tables of runs: statistics, efficiency, the effects of changed settings."""
