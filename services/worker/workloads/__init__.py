"""Built-in workloads, one module or package each. `pyproject.toml` names them as entry points."""
