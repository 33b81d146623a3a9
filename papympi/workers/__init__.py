"""The far end: `evaluation` calls functions, `children` guards processes that do so, `ranks` lets MPI ranks do it."""
