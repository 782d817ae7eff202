"""Training: the loop over all schemes of a sweep, what it is made of, and the job around it."""
