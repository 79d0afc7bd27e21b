"""The dashboard: widgets and charts, nothing else."""
