"""Figures of a study: one module each, with ``draw(table) -> Figure``.

`kancore.figures.declared` says which there are and what each is drawn from. Nothing that draws
imports it, and a figure is imported by name: a new or a changed one is drawn, and no other.
"""
