"""What scripts/demo and scripts/bench share: a database, the built-in job's tables and data, its oracle, the binary, figures."""
