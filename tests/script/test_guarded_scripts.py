"""A script whose last lines stand under a guard is loaded on the workers, and has there what it has here."""

import pytest

OUTSIDE = ["processes:2", "mpi:2", "loky:2"]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["inline", *OUTSIDE])
def pool(request):
    return request.param


def test_what_the_top_has_done(run_script, pool):
    """Settings, registrations, arguments and classes are those of the script; the guard's body is not run."""
    text = """
    import decimal, json, sys
    import papympi, helper

    decimal.getcontext().prec = 50
    json.JSONEncoder.default = lambda self, value: "registered"
    runs = []

    class Event:
        pass

    def look(number):
        digits = len(str(decimal.Decimal(1) / 3))
        return digits, json.dumps(object()), sys.argv[1:], __name__, len(runs), helper.registry, Event()

    if __name__ == "__main__":
        runs.append("here")
        (*found, event), = papympi.map(look, [1], pool=sys.argv[1])
        print(found, isinstance(event, Event))
    """
    helper = "registry = {}\nregistry.update(codec=1)\n"
    expected = [52, '"registered"', [pool], "__main__", 1, {"codec": 1}]
    assert run_script(text, pool, helper=helper) == [f"{expected} True"]


def test_what_has_changed_since(run_script, pool):
    """What `main` has set, and what stands under the guard, goes along; what a worker has of its own stays."""
    text = """
    import sys, threading
    import numpy as np
    import papympi, params
    from params import TABLE

    LOCK = threading.RLock()
    MISSING = object()
    table = np.zeros(50_000)
    config = params.Config()

    def look(number, missing=MISSING):
        with LOCK:
            same = missing is MISSING and TABLE is params.TABLE and params.CONFIG is config
        return same, params.steps(), TABLE, config.rate, float(table[3]), model(number), late, handle.name

    def main(scale):
        global late
        late = scale
        params.STEPS, config.rate, table[3] = 50, 7, 1.5
        params.CONFIG = config
        params.TABLE["new"] = scale
        print(*papympi.map(look, [1], pool=sys.argv[1]))

    handle = open(__file__)

    if __name__ == "__main__":
        class Model:
            def __call__(self, number):
                return number * 10

        model = Model()
        main(3)
    """
    params = "STEPS, TABLE, CONFIG = 1, {}, None\nclass Config:\n    rate = 1\ndef steps():\n    return STEPS\n"
    same = pool == "inline"
    found = run_script(text, pool, params=params)[0]
    assert found.startswith(f"({same or 'True'}, 50, {{'new': 3}}, 7, 1.5, 10, 3, '")


def test_called_above_the_guard(run_script):
    """A script that starts its run above the guard is not loaded a second time: what it defines travels by value."""
    text = """
    import sys
    import papympi

    with open("times", "a") as file:
        file.write("x")

    def double(number):
        return 2 * number

    print(*papympi.map(double, range(3), pool=sys.argv[1]), len(open("times").read()))

    if __name__ == "__main__":
        print("end")
    """
    assert run_script(text, "processes:2") == ["0 2 4 1", "end"]


def test_edited_while_it_runs(run_script):
    """Workers have the script and its helpers as they were when the run began, also those that come later."""
    text = """
    import os, pathlib, signal, sys
    import papympi, helper

    def look(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        import late
        return helper.version() + late.version + own()

    def own():
        return "old"

    if __name__ == "__main__":
        run = papympi.map(look, range(30), pool=sys.argv[1], errors="drop", admission=2)
        found = [next(run)]
        for name in ("helper", "late", "script"):
            path = pathlib.Path(f"{name}.py")
            path.write_text(path.read_text().replace("old", "new!"))
        found += run
        print(len(found), set(found))
    """
    helper, late = "def version():\n    return 'old'\n", "version = 'old'\n"
    assert run_script(text, "processes:2", helper=helper, late=late) == ["29 {'oldoldold'}"]


def test_edited_before_the_run(run_script):
    """A script that was edited after it was started travels as it is here."""
    text = """
    import pathlib, sys
    import papympi

    def look(number):
        return "old"

    if __name__ == "__main__":
        path = pathlib.Path(__file__)
        path.write_text(path.read_text().replace("return \\"old\\"", "return \\"new\\""))
        print(*papympi.map(look, range(2), pool=sys.argv[1]))
    """
    assert run_script(text, "processes:2") == ["old old"]


@pytest.mark.parametrize("pool", OUTSIDE)
def test_script_that_cannot_be_loaded(run_script, pool):
    """What goes wrong only in a worker is an error with the line of the script, and what it has printed."""
    text = """
    import os, sys
    import papympi

    print("about to fail")
    if os.environ.get("SECOND"):
        raise ValueError("not twice")
    os.environ["SECOND"] = "1"

    def double(number):
        return 2 * number

    if __name__ == "__main__":
        print(*papympi.map(double, range(3), pool=sys.argv[1]))
    """
    done = run_script(text, pool, check=False)
    assert done.returncode != 0
    assert 'script.py", line 7' in done.stderr
    assert "ValueError: not twice" in done.stderr
    assert "about to fail" in done.stderr


def test_run_at_the_top_of_a_module(run_script):
    """A module that starts a run when a worker imports it is refused, and does not hang."""
    text = """
    import sys
    import papympi, helper

    def double(number):
        return helper.two * number

    if __name__ == "__main__":
        print(*papympi.map(double, range(3), pool=sys.argv[1]))
    """
    helper = "import papympi\ntwo, = papympi.map(abs, [-2], pool='processes:1')\n"
    done = run_script(text, "processes:2", check=False, helper=helper)
    assert "helper" in done.stderr
    assert "starts a run while a worker loads it" in done.stderr


def test_flags_and_hashes(run_script, pool):
    """Workers have the interpreter's flags, and one hash for a text."""
    text = """
    import os, sys, time
    import papympi

    def look(word):
        time.sleep(0.01)
        return hash(word), sys.flags.optimize, sys.flags.dev_mode, sys.warnoptions[-1:]

    if __name__ == "__main__":
        found = list(papympi.map(look, ["mouse"] * 20, pool=sys.argv[1]))
        print(len({number for number, *_ in found}), found[0][1:])
    """
    expected = "1 (1, True, ['error::FutureWarning'])"
    assert run_script(text, pool, flags=["-O", "-X", "dev", "-W", "error::FutureWarning"]) == [expected]


def test_what_it_prints_is_shown_once(run_script, pool):
    """What a script prints as it is loaded is not repeated by workers; ends are called once for those of a host."""
    text = """
    import atexit, os, sys
    import papympi

    print("loaded")
    os.system("echo too")

    def look(number):
        return number

    if __name__ == "__main__":
        print(*papympi.map(look, range(3), pool=sys.argv[1]))
    """
    assert sorted(run_script(text, pool)) == ["0 1 2", "loaded", "too"]


def test_folder_outlives_a_worker(run_script):
    """A folder that the script has made lasts as long as the workers, whichever of them ends before."""
    text = """
    import os, sys, tempfile
    import papympi

    folder = tempfile.TemporaryDirectory()

    def look(number):
        if number == 2:
            sys.exit(os._exit(1))
        return os.path.isdir(folder.name)

    if __name__ == "__main__":
        print(*papympi.map(look, range(12), pool="processes:2", errors="drop"))
    """
    assert run_script(text) == [" ".join(["True"] * 11)]


@pytest.mark.parametrize("pool", ["processes:3", "mpi:2"])
def test_lines_are_written_once(run_script, pool):
    """What a script has written at its top is not written again by each worker that ends."""
    text = """
    import os, sys
    import papympi

    log = open(f"log-{os.getpid()}", "w")
    log.write("head\\n")

    def look(number):
        log.write(f"{number}\\n")

    if __name__ == "__main__":
        list(papympi.map(look, range(8), pool=sys.argv[1]))
        log.close()
        lines = [line.strip() for name in os.listdir() if name[:4] == "log-" for line in open(name)]
        print(lines.count("head"), sorted(line for line in lines if line != "head"))
    """
    assert run_script(text, pool) == [f"2 {[str(number) for number in range(8)]}"]
