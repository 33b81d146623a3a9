"""Whatever is wrong with a command line, it is refused in one line, with exit code 2; nothing is taken silently."""

from __future__ import annotations

import itertools
import os
import pickle
import shlex
import sys

import pytest

from papympi.cli.main import main

NINES = "9" * 400
LONG = "x" * 5000
INPUT = ["--input", "x=0..3"]
FILES = {
    "p.py": b"from papympi import node\n@node\ndef double(x):\n    return 2 * x\n",
    "empty.py": b"",
    "bad.jsonl": b'{"a": 1}\n{bad\n',
    "bad.csv": b'a,b\n"1",2\n\xff\xfe,3\n',
    "deep.jsonl": b"[" * 100_000 + b"\n",
    "bad.pkl": b"\x80\x05notapickle",
    "half.pkl": pickle.dumps(list(range(100)))[:50],
    "not.toml": b"pool = [",
}
TARGETS = """
'' p.py: :graph p.py:double p.py:__builtins__ . / empty.py os:path ..p a..b 1.2 - http://x/y.py none.py p.py/x.py
"""
INPUTS = """
=1 x x=@ x=@. x=@none.txt x=@bad.jsonl x=@bad.csv x=@deep.jsonl x=@bad.pkl x=@half.pkl x=**/[ x=*.none
2x=1 x.y=1 '' = y=0..3 double=1 double=[]
"""
OPTIONS = """
--target= --target=doubel
--pool= --pool== --pool=*= --pool==inline --pool=*=processes: --pool=*=processes:0 --pool=*=processes:-1
--pool=*=processes:1e9 --pool=*=inline:3 --pool=*=* --pool=*=mpi:0 --pool=*=mpi4py --pool=*=thread --pool=x
--pool=*=processes:999999 --pool=*=threads:4097 --pool=*=mpi:5000 --pool=*=inline:999999
--stride=double --stride=double=-1 --stride=double=0 --stride=double=1.5 --stride==3 --stride=x=3 --stride=doubel=3
--admission=-1 --admission=0 --admission=1.5 --admission=x --admission=
--admission-bytes= --admission-bytes=-5 --admission-bytes=nan --admission-bytes='5 parsecs' --admission-bytes=0
--seed=x --seed=-1 --seed=1.5
--max-failures= --max-failures=-1 --max-failures=nan% --max-failures=101% --max-failures=1.5 --max-failures=5%%
--accept-failures= --accept-failures=-1% --accept-failures=inf --accept-failures=most --accept-failures=%
--output= --output=. --output=/ --output=noext --output=p.py/x.csv --output=none/x.csv --output=/proc/x.csv
--output=x.xml
--ranks=0 --ranks=-1 --ranks=x --ranks=999999999999 --ranks=1.5
--run-dir= --run-dir=p.py --run-dir=/proc/x --run-dir=p.py/x
--resume --retry-failed --force --shard=0/2 --within=5
'--run-dir=d --within=-1' '--run-dir=d --within=nan' '--run-dir=d --within=inf' '--run-dir=d --grace=inf'
'--run-dir=d --grace=nan' '--run-dir=d --grace=-1' '--run-dir=d --within=soon' '--run-dir=d --shard=0/0'
'--run-dir=d --shard=2/2' '--run-dir=d --shard=-1/2' '--run-dir=d --shard=a/b' '--run-dir=d --shard=1'
'--run-dir=d --shard=1.5/2' '--run-dir=d --shard='
--encoding=nope --encoding=base64 --nan=maybe
-p -pno: -pyes:loky --nonsense extra '-- --input'
"""
COMMANDS = """
'' --nonsense -p rum 'status nowhere' 'status p.py' 'status .' 'cancel nowhere' 'cancel .' 'cancel p.py'
'failures nowhere' 'failures p.py' 'replay nowhere n 1' 'replay . n 1' replay merge 'merge .'
'merge . --output x.csv' 'merge nowhere --output x.csv' 'merge p.py --output x.jsonl' plan 'plan p.py --target nope'
'plan p.py --stride x' 'plan none.py' graph 'graph p.py --format pdf' 'graph p.py --format=' 'graph empty.py'
'doctor x' 'plugins x' submit 'submit none.py'
"""
SUBMITS = """
--nodes=0 --nodes=x --time=abc --time=-5 --array=0 --array=5%0 --signal=KILL --template=nowhere --template=.
--lead=-1 --mem=x --launcher=x --ranks=3
"""
LINES = [
    *(["run", word, *INPUT] for word in shlex.split(TARGETS)),
    *(["run", "p.py", "--input", word] for word in shlex.split(INPUTS)),
    *(["run", "p.py", *INPUT, *word.split()] for word in shlex.split(OPTIONS)),
    *(word.split() or [""] for word in shlex.split(COMMANDS)),
    *(["submit", "p.py", *INPUT, "--dry-run", word] for word in shlex.split(SUBMITS)),
    ["run", f"{LONG}.py", *INPUT],
    ["run", "p.py", "--input", f"x=@{LONG}"],
    ["run", "p.py", *INPUT, "--output", f"{LONG}.csv"],
    ["run", "p.py", *INPUT, "--run-dir", LONG],
    ["run", "p.py", "--input", "x=-", "--input", "x=-"],
    ["status", LONG],
]


@pytest.fixture
def place(project):
    for name, text in FILES.items():
        (project / name).write_bytes(text)
    (project / "dir.py").mkdir()
    return project


@pytest.mark.parametrize("line", LINES, ids=itertools.count())
def test_malformed_line_is_refused(line, place, capfd, monkeypatch):
    """Names that are too long, empty ones, and numbers that are none came out as tracebacks, or were taken silently."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    code = main(line)
    err = capfd.readouterr().err
    assert (code, "Traceback" in err) == (2, False), err
    assert len(err.splitlines()) == 1, err
    assert not os.path.lexists("results.jsonl")
