"""JSON Schemas and the AsyncAPI document of the messages, and the check that no published message changes."""
