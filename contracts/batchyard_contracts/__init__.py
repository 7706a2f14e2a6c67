"""Batchyard's public interface: messages, topology, client and the way to write a workload."""

__version__ = "0.1.0"
