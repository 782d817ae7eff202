"""The speed of training, beside other KAN layers and beside the limit of dense products.

Run it with ``python -m kancore.bench``.
"""
