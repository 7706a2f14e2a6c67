"""Public interface of Batchyard: messages, topology, client and workload API."""

__version__ = "0.1.0"
