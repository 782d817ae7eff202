"""Data sets, and their way from a server or a file of the user's own to a training job."""
