"""Runs as seen from outside, for the command line: what is done before, beside and after a run.

`submission` makes a job of Slurm, `survey` looks at what a host has, `time_limit` stops a run in time, `run_status`
says how far it is and cancels it, `repeating` calls what failed again, `merging` joins the results of shares.
"""
