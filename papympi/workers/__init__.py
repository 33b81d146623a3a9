"""The far end of a pool, in three rooms: what calls functions, what guards children, what a rank does.

An import only goes from `ranks` to `children` to `evaluation`. `host` says what of this machine may be used, and `cpus`
how many CPUs.

| class | what it is |
| --- | --- |
| `CpuShare` | how many CPUs this process may use, and why |
"""
