"""The paper's claims: declared tests, the comparisons that they make, and verdicts on them."""
