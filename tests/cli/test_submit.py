"""`papympi submit` without a cluster: the script that it shows, who has the last word, and what is refused."""

import os
import sys
from pathlib import Path

import pytest

from papympi.launchers.slurm import MARK

BARE = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")} | {"PATH": "/nowhere"}


@pytest.fixture
def submit(papympi, squares):
    """Return what calls `papympi submit` where there is no Slurm."""

    def call(*words, dry=True, **environment):
        options = ["--dry-run"] if dry else []
        return papympi("submit", "squares.py", *options, *words, env={**BARE, **environment})

    return call


def directives(text):
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH ")]
    return dict(line.partition("=")[::2] for line in lines)


def test_run_options_are_handed_on(submit):
    """Options of run are handed on as they were given."""
    words = ("--input", "number=0..9", "--target", "square", "--stride", "square=2", "--no-fusion", "--unordered")
    done = submit(*words, "--output", "it's.csv", "-p", "no:loky", "--tasks-per-node", "1", "--pool", "*=inline")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        f"exec {sys.executable} -m papympi run squares.py --input number=0..9 --target square --pool '*=inline' "
        "--stride square=2 --no-fusion --output 'it'\"'\"'s.csv' --unordered -p no:loky"
    )
    assert not list(Path().glob("*.sbatch"))


def test_order_of_precedence(submit, project):
    """The command line before the environment before the file."""
    (project / "papympi.toml").write_text(
        '[submit]\ntime = "1:00:00"\nmem = "1G"\nqos = "low"\nnodes = 3\nmodules = ["gcc", "mpi"]\n'
    )
    done = submit("--time", "3:00:00", PAPYMPI_SUBMIT_TIME="2:00:00", PAPYMPI_SUBMIT_MEM="2G")
    found = directives(done.stdout)
    assert (found["time"], found["mem"], found["qos"], found["nodes"]) == ("3:00:00", "2G", "low", "3")
    assert "module load gcc mpi || exit" in done.stdout


def test_pyproject_has_options(submit, project):
    """A site may say it in pyproject."""
    (project / "pyproject.toml").write_text('[tool.papympi.submit]\npartition = "gpu"\ncommand = "papympi"\n')
    done = submit("--tasks-per-node", "1")
    assert directives(done.stdout)["partition"] == "gpu"
    assert done.stdout.endswith("\nexec papympi run squares.py\n")


def test_until_done_has_run_dir(submit):
    """Until done has a run directory of its own."""
    text = submit("--until-done", "--time", "4:00:00").stdout
    assert "\nrun_dir=squares.run\n" in text
    assert directives(text)["signal"] == "B:USR1@120"
    assert directives(text)["output"] == "squares.run/slurm-%j.log"


def test_run_dir_is_named_once(submit):
    text = submit("--input", "number=0..9", "--run-dir", "a b", "--until-done", "--tasks-per-node", "1").stdout
    assert "\nrun_dir='a b'\n" in text
    assert text.count("--run-dir") == 1


def test_a_template_of_the_site(submit, project):
    (project / "site.sh").write_text("#!/bin/sh\n{{directives}}\nulimit -c 0\n{{run}}\n")
    done = submit("--template", "site.sh", "--time", "1")
    assert done.stdout.startswith("#!/bin/sh\n#SBATCH --job-name=squares\n")
    assert "\nulimit -c 0\nexec " in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--time", "4h"], "--time: '4h' is not a time"),
        (["--ranks", "4"], "--ranks starts ranks on one host"),
        (["--lead", "60"], "--lead goes with --until-done"),
        (["--input", "number=-"], "a job has no standard input"),
        (["--array", "4", "--output", "a.csv"], "--output and --array"),
        (["--venv", "v", "--conda", "c"], "--venv and --conda"),
        (["--template", "none.sh"], "--template none.sh: "),
        (["--partion", "x"], "--partition"),
        (["--strides", "x"], "No such option"),
    ],
)
def test_impossible_is_refused(submit, words, message):
    """What cannot be is refused."""
    done = submit(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[-1]


def test_slip_in_table_names_file(submit, project):
    """A slip in the table is said with the file."""
    (project / "papympi.toml").write_text("[submit]\npartion = 'x'\n")
    done = submit()
    assert done.returncode == 2
    assert (
        "papympi.toml: submit: partion: there is no option 'partion' of a job; did you mean 'partition'?" in done.stderr
    )
    (project / "papympi.toml").write_text("[submit]\ntime = 4:00:00\n")
    assert "cannot be read" in submit().stderr
    (project / "papympi.toml").write_text("[submit]\ntime = 04:00:00\n")
    assert "is not a text; put it into quotes" in submit().stderr
    (project / "papympi.toml").unlink()
    assert "PAPYMPI_SUBMIT_MEN: there is no option 'men'" in submit(PAPYMPI_SUBMIT_MEN="4G").stderr


def test_broken_pipeline_never_waits(submit, squares):
    """A slip in the pipeline is found before the job waits."""
    squares.write_text("def (:\n")
    assert "squares.py is no Python file that can run" in submit().stderr


def test_missing_slurm_is_explained(submit):
    """Without SLURM it says where to go."""
    done = submit(dry=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("papympi: error: there is no sbatch here: submit from a login node")
    assert not list(Path().glob("*.sbatch"))


def test_foreign_script_is_kept(submit, project):
    """A script of somebody else is left alone."""
    stub = project / "bin" / "sbatch"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\necho '17;cluster'\n")
    stub.chmod(0o755)
    path = project / "squares.sbatch"
    path.write_text("#!/bin/sh\nmine\n")
    done = submit(dry=False, PATH=f"{stub.parent}:/bin")
    assert "squares.sbatch was not written by papympi, and stays as it is" in done.stderr
    assert path.read_text() == "#!/bin/sh\nmine\n"
    path.write_text(f"#!/bin/sh\n{MARK}\n")
    assert submit(dry=False, PATH=f"{stub.parent}:/bin").stdout == "17\n"
    assert "papympi run squares.py" in path.read_text()


@pytest.mark.parametrize(("choice", "hosts"), [("sockets", 2), ("sockets", 1), ("tcp", 2)])
def test_unreliable_provider_is_refused(submit, choice, hosts):
    """Sbatch hands the environment on: ranks would find a way between hosts there that loses the order of messages."""
    done = submit("--nodes", str(hosts), "--tasks-per-node", "2", FI_PROVIDER=choice)
    refused = choice == "sockets" and hosts > 1
    assert done.returncode == (2 if refused else 0), done.stderr
    assert ("would inherit it: FI_PROVIDER=sockets lets MPICH send" in done.stderr) == refused
    assert ("set FI_PROVIDER=tcp" in done.stderr) == refused
