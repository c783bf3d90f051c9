"""How the data changes: pure functions, frame or connection in, frame out. No orchestrator, clock or environment."""
