"""Fifty jobs over two Slurm clusters, a Ray cluster and a local site, three of them far away."""
