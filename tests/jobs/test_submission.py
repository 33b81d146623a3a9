"""How a run becomes a job: what starts its ranks is found out where its MPI is."""

from __future__ import annotations

import pytest

from papympi.jobs.submission import prepare

TEMPLATE = "#!/bin/bash\n{{directives}}\nmodule load mpi\n{{setup}}\n{{run}}\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return what writes the script of a job of six ranks on two hosts, with some options."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe.py").write_text("")
    (tmp_path / "site.sh").write_text(TEMPLATE)
    hosts = {"nodes": "2", "tasks_per_node": "3"}
    return lambda **options: prepare("pipe.py", (), {**hosts, **options}, run_dir=None, until_done=False)


@pytest.mark.parametrize("more", [{"modules": ("mpi",)}, {"venv": "env"}, {"conda": "env"}, {"template": "site.sh"}])
def test_a_job_asks_for_its_launcher(write, more):
    """The launcher was that of the MPI seen here, which is another than the one that a module brings."""
    made = write(**more)
    ask, take, start = [line for line in made.text.splitlines() if "launcher" in line]
    assert ask.startswith("launcher=$(")
    assert " doctor --launcher) || exit" in ask
    assert take == 'mapfile -t launcher <<<"$launcher"'
    assert start.startswith('exec "${launcher[@]}"')
    assert made.text.index("load mpi" if "venv" not in more and "conda" not in more else "env") < made.text.index(ask)
    assert "the job finds out what starts the ranks of its MPI" in made.notes[-1]


def test_who_says_it_is_not_asked(write):
    """Nor need be found out how one rank is started."""
    assert "doctor" not in write(modules=("mpi",), launcher="srun", mpi="pmix").text
    assert "launcher" not in write(modules=("mpi",), nodes="1", tasks_per_node="1").text
