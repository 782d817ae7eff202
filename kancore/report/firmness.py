"""How the report words the firmness of verdicts: which choices would change them."""

import pandas as pd

from kancore.figures.style import MARKS, setting_name
from kancore.report.tables import Table


def variations(table: pd.DataFrame) -> Table:
    """One row a claim: its verdict, in how many variations it stays, and which change it.

    Parameters
    ----------
    table
        With the columns of `kancore.analysis.tables.FIRMNESS`.
    """
    rows = []
    for name, found in table[table["part"] == 0].groupby("claim", sort=False):
        declared = found.loc[found["variation"] == "declared", "verdict"].iloc[0]
        others = found[found["variation"] != "declared"]
        changed = others[others["verdict"] != declared]
        words = [
            f"{MARKS[row.verdict]} {setting_name(row.variation, row.setting)}"
            for row in changed.itertuples()
        ]
        same = f"{len(others) - len(changed)} of {len(others)}"
        rows.append((name, declared, same, "; ".join(words)))
    headings = ["Claim", "By the declared choices", "The same in", "Another one"]
    return Table(headings, [False] * len(headings), rows, [False] * len(rows))
