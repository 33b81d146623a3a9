"""How values come in and go out: readers and writers of files, what the command line gives, values as JSON."""
