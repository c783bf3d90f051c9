"""When and where: the Prefect flows of the zones, and all that knows a path, a clock or the environment."""
