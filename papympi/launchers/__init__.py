"""Command lines that start ranks: argv in, command line out."""
