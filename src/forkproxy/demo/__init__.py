"""`forkproxy demo`: a forked call on one machine with nothing else."""
