"""The options of a run: who has the last word, and what is said about a slip."""

from __future__ import annotations

import os

import pytest

from papympi.errors import OptionError
from papympi.runner.options import RunOptions, find_file, parse_stride, read_options
from papympi.runner.pooling import PoolSpec


def test_defaults(project):
    """Without anything said there are the defaults."""
    assert read_options(environment={}) == RunOptions()


def test_order_of_precedence(project):
    """The file, then the environment, then the command line."""
    (project / "papympi.toml").write_text(
        "admission = 1\npool = 'threads'\nfusion = false\nstrides = { a = 1, b = 1 }\n"
    )
    environment = {"PAPYMPI_ADMISSION": "2", "PAPYMPI_POOL": "inline", "PAPYMPI_STRIDES": "a=2,c=auto"}
    assert read_options(environment={}).admission == 1
    assert read_options(environment=environment).admission == 2
    options = read_options(environment=environment, admission=3, strides={"a": 3}, pool=None)
    assert (options.admission, options.pool, options.fusion) == (3, "inline", False)
    assert options.strides == {"a": 3, "b": 1, "c": "auto"}
    assert options.file == project / "papympi.toml"


def test_bytes_have_units(project):
    """Bytes are numbers or texts with a unit."""
    (project / "papympi.toml").write_text("admission_bytes = '4 GB'\n")
    assert read_options(environment={}).admission_bytes == 4 * 1000**3
    for text, size in (("1000", 1000), ("2GiB", 2 << 30), ("1.5 MB", 1_500_000)):
        assert read_options(environment={"PAPYMPI_ADMISSION_BYTES": text}).admission_bytes == size
    (project / "papympi.toml").write_text("admission_bytes = 4096\n")
    assert read_options(environment={}).admission_bytes == 4096


def test_the_nearest_file_counts(project):
    inner = project / "deep" / "er"
    inner.mkdir(parents=True)
    (project / "papympi.toml").write_text("admission = 1\n")
    pipeline = inner / "pipeline.py"
    pipeline.write_text("")
    assert find_file(pipeline) == project / "papympi.toml"
    (project / "deep" / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert find_file(pipeline) == project / "papympi.toml"
    (project / "deep" / "pyproject.toml").write_text("[tool.papympi]\nadmission = 2\n")
    assert read_options(pipeline, {}).admission == 2
    (project / "deep" / "papympi.toml").write_text("admission = 3\n")
    assert read_options(pipeline, {}).admission == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_file_of_another_user_is_refused(project):
    """A folder above the pipeline may be open to everybody, as /tmp is."""
    path = project / "papympi.toml"
    path.write_text("admission = 1\n")
    os.chown(path, 65534, 65534)
    with pytest.raises(OptionError, match=r"papympi.toml belongs to another user \(number 65534\)"):
        read_options(project, {})


def test_tables_of_pools(project):
    (project / "papympi.toml").write_text(
        "[pools.mpi]\nbackend = 'processes'\nworkers = 8\n[pools.threads]\nworkers = 2\n"
        "[pools.everything]\nmembers = ['mpi', 'threads']\n"
    )
    assert read_options(environment={}).pools == {
        "mpi": PoolSpec("mpi", "processes", {"workers": 8}),
        "threads": PoolSpec("threads", "threads", {"workers": 2}),
        "everything": PoolSpec("everything", members=("mpi", "threads")),
    }


def test_pools_from_environment(project):
    """Pools of the environment are overrides."""
    options = read_options(environment={"PAPYMPI_POOLS": "*=inline, mpi=processes:4"})
    assert options.overrides == {"*": PoolSpec("*", "inline"), "mpi": PoolSpec("mpi", "processes", {"workers": 4})}


def test_names_to_block_add_up(project):
    (project / "papympi.toml").write_text("block = ['loky', 'mpi']\n")
    assert read_options(environment={"PAPYMPI_BLOCK": "dask,mpi"}, block=("ray",)).block == (
        "loky",
        "mpi",
        "dask",
        "ray",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("admision = 3", "there is no option 'admision'; did you mean 'admission'"),
        ("admission = 0", "admission: 0 is not a whole number of at least 1"),
        ("admission = true", "admission: True is not"),
        ("admission_bytes = 0", "admission_bytes: 0 lets nothing in"),
        ("admission_bytes = '0 GB'", "admission_bytes: '0 GB' lets nothing in"),
        ("admission_bytes = 'much'", "admission_bytes: 'much' is not a number of bytes"),
        ("fusion = 'no'", "fusion: 'no' is neither true nor false"),
        ("pool = 3", "pool: 3 is not a name"),
        ("pools = 3", "pools: 3 is not a table"),
        ("block = 'mpi'", "block: 'mpi' is not a list"),
        ("strides = 7", "strides: 7 is not a table"),
        ("strides = { a = 'much' }", "strides: 'much' is not"),
        ("[pools]\nmpi = 'processes'", "pools: pool 'mpi': 'processes' is not a table"),
        ("[pools.a]\nmembers = 'b'", "members is 'b'"),
        ("[pools.a]\nmembers = ['b']\nworkers = 3", "members cannot stand beside 'workers'"),
        ("[pools.a]\nbackend = 3", "the backend 3 is not a name"),
        ("submit = 3", "submit: 3 is not a table of options of a job"),
        ("[submit]\nnodes = 0", "submit: nodes: 0 is not a whole number"),
        ("[pools", "cannot be read"),
    ],
)
def test_bad_file_is_named(project, text, message):
    """What is wrong in a file is said with the file."""
    (project / "papympi.toml").write_text(text)
    with pytest.raises(OptionError) as caught:
        read_options(environment={})
    assert str(project / "papympi.toml") in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PAPYMPI_ADMISION", "3", "did you mean 'PAPYMPI_ADMISSION'"),
        ("PAPYMPI_ADMISSION", "-3", "PAPYMPI_ADMISSION: '-3' is not a whole number"),
        ("PAPYMPI_FUSION", "maybe", "PAPYMPI_FUSION: 'maybe' is neither 1 nor 0"),
        ("PAPYMPI_POOLS", "mpi", "PAPYMPI_POOLS: 'mpi' is not of the form"),
        ("PAPYMPI_STRIDES", "a=0", "PAPYMPI_STRIDES: 'a=0' is not of the form"),
    ],
)
def test_bad_variable_is_named(project, variable, value, message):
    """What is wrong in the environment is said with the variable."""
    with pytest.raises(OptionError) as caught:
        read_options(environment={variable: value})
    assert message in str(caught.value)


def test_foreign_variables(project):
    """Variables of others are left alone."""
    assert read_options(environment={"PAPYMPI_RELAY_SOCKET_OF_OURS": "x", "PAPY": "y"}) == RunOptions()


@pytest.mark.parametrize(("text", "truth"), [("1", True), ("off", False), ("True", True), ("no", False)])
def test_switches_in_environment(project, text, truth):
    """Switches of the environment."""
    assert read_options(environment={"PAPYMPI_PROGRESS": text}).progress is truth


def test_strides_of_the_command():
    """Strides of the command line."""
    assert parse_stride("spectrum=64") == {"spectrum": 64}
    assert parse_stride("a=auto, b=2") == {"a": "auto", "b": 2}
    for text in ("spectrum", "=3", "a=b", "a=0", "a=-1"):
        with pytest.raises(OptionError, match="NODE=N"):
            parse_stride(text)


@pytest.mark.parametrize(
    "variable",
    ["PAPYMPI_CLUSTER_PORT", "PAPYMPI_CLUSTER", "PAPYMPI_DRAIN_ON", "PAPYMPI_EXIT_FILE", "PAPYMPI_THEME"],
)
def test_other_variables_are_left_alone(project, variable):
    """Names were compared with their common beginning, so that any was like one of the options."""
    assert read_options(environment={variable: "17800"}) == read_options(environment={})
