"""Intrinsic dimension: of a task's loss landscape, and of the manifold that the data lie on."""
