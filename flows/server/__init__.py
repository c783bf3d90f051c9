"""The server that analysts run: Prefect on loopback, a worker for each zone, the flows with their schedules."""
