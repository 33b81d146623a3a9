"""Runs as seen from outside: submitting one as a job of Slurm, asking how far it is, joining and repeating results."""
