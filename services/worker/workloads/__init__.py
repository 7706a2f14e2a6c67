"""The workloads built in: each module or package here holds a `Workload`."""
