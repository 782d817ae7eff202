"""Studies: from a configuration to every job that it asks for."""
