"""How values come in and go out: files, what the command line gives, and values as JSON.

A new format of files is a reader, a writer and a line in the table at the end of `file_formats`; the help and
`papympi merge` take theirs from there.
"""
