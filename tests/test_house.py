"""The laws of the house that no other tool checks. A law takes modules and returns what is wrong with them."""

from __future__ import annotations

import ast
import inspect
import io
import re
import resource
import statistics
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

import papympi
from papympi import hookspecs

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "papympi"
PLUGINS = sorted((ROOT / "plugins").glob("*/"))
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("papympi_")}
BACKENDS = [path.stem for path in sorted((PACKAGE / "pools").glob("*.py")) if "\nBACKEND" in path.read_text()]
SHORTEST_FILE = 40
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
LONGEST_NAME = 55
LONGEST_MEDIAN = 30
HEAVY = ("asyncio", "click", "dill", "importlib.metadata", "mpi4py", "multiprocessing", "numpy", "pluggy", "rich")
IMPORT_BUDGET_S = 0.060
PROMISED = (
    "contracts", "hookspecs", "testing", "errors", "model", "transport.task", "plan.program", "script.interpreter",
)  # fmt: skip
"""Where plugins may import from, beside the face."""


@dataclass(frozen=True)
class Module:
    """One source file: its place, its dotted name, its text."""

    place: str
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Return it parsed."""
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Return its comments with their lines."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]

    def nodes(self, *kinds: type) -> Iterator[ast.AST]:
        """Yield all parts of its tree that are of some kinds."""
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))


@cache
def read_modules(*folders: Path) -> tuple[Module, ...]:
    """Return the modules below some folders; names count from the folder's parent."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(str(path.relative_to(ROOT)), name, path.read_text(encoding="utf-8")))
    return tuple(found)


def our_modules() -> tuple[Module, ...]:
    """Return what we ship: the package and the plugins."""
    return read_modules(PACKAGE, *(folder for plugin in PLUGINS for folder in plugin.glob("papympi_*")))


def uniform_modules() -> tuple[Module, ...]:
    """Return the engine, but for where a plan becomes operators, or rules of pruning."""
    found = read_modules(PACKAGE / "engine")
    return tuple(module for module in found if Path(module.place).stem not in {"assembly", "pruning"})


def plugin_modules() -> tuple[Module, ...]:
    """Return the plugins with their tests."""
    return read_modules(*(folder for plugin in PLUGINS for folder in plugin.glob("*/")))


def all_modules() -> tuple[Module, ...]:
    """Return everything that we have written."""
    folders = [ROOT / name for name in ("tests", "benchmarks", "examples")]
    return our_modules() + read_modules(*folders, *(plugin / "tests" for plugin in PLUGINS))


def all_tests() -> tuple[Module, ...]:
    """Return the tests, those that every pool inherits among them."""
    return read_modules(ROOT / "tests", PACKAGE / "testing", *(plugin / "tests" for plugin in PLUGINS))


def find_circle(modules: tuple[Module, ...]) -> list[str]:
    """Law 1: no import circle, not even a lazy one or one for types (the layers are import-linter's to check)."""
    names = {module.name for module in modules}
    left = {module.name: imports_of(module, names) for module in modules}
    while ends := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in ends:
            del left[name]
    if not left:
        return []
    path = [min(left)]
    while path.count(path[-1]) == 1:
        path.append(min(left[path[-1]] & left.keys()))
    return [" -> ".join(path[path.index(path[-1]) :])]


def imports_of(module: Module, names: set[str]) -> set[str]:
    """Return which of some modules a module imports, wherever in it."""
    found: set[str] = set()
    for statement in module.nodes(ast.Import, ast.ImportFrom):
        imported = [alias.name for alias in statement.names]
        if isinstance(statement, ast.Import):
            found |= {name for name in imported if name in names}
            continue
        for name in imported:
            inner = f"{statement.module}.{name}"
            found |= {inner if inner in names else statement.module or ""} & names
    return found - {module.name}


def find_long_files(modules: tuple[Module, ...]) -> list[str]:
    """Law 2: a file has at most 300 lines."""
    lines = {module.place: len(module.text.splitlines()) for module in modules}
    return [f"{place}: {count} lines" for place, count in lines.items() if count > LONGEST_FILE]


def find_short_files(modules: tuple[Module, ...]) -> list[str]:
    """Law 2: a file of less than 40 lines says in its docstring why it stands alone."""
    return [
        f"{module.place} has {len(module.text.splitlines())} lines; merge it, or say: It stands alone because ..."
        for module in modules
        if len(module.text.splitlines()) < SHORTEST_FILE
        and not module.place.endswith("/__init__.py")
        and not re.search(r"\b(stands alone|apart|of its own)\b", ast.get_docstring(module.tree) or "")
    ]


def find_long_functions(modules: tuple[Module, ...]) -> list[str]:
    """Law 2: a function has at most 40 lines beside signature and docstring (complexity is ruff's to check)."""
    found = []
    for module in modules:
        for function in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
            body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
            lines = function.end_lineno - body[0].lineno + 1
            if lines > LONGEST_FUNCTION:
                found.append(f"{module.place}:{function.lineno}: {function.name} has {lines} lines")
    return found


def find_namesakes(modules: tuple[Module, ...]) -> list[str]:
    """No two classes have one name, wherever they are."""
    places: dict[str, list[str]] = {}
    for module in modules:
        for each in module.nodes(ast.ClassDef):
            places.setdefault(each.name, []).append(f"{module.place}:{each.lineno}")
    return [f"{name}: {', '.join(some)}" for name, some in places.items() if len(some) > 1]


def find_unlisted(modules: tuple[Module, ...]) -> list[str]:
    """Each room of engine, workers and script lists its public classes in the docstring of its `__init__`."""
    found = []
    for room in modules:
        if re.fullmatch(r"papympi/(engine|workers|script)(/\w+)*/__init__\.py", room.place):
            inside = [module for module in modules if Path(module.place).parent == Path(room.place).parent]
            statements = [each for module in inside for each in module.tree.body]
            classes = {each.name for each in statements if isinstance(each, ast.ClassDef)}
            aliases = {ast.unparse(each.targets[0]) for each in statements if isinstance(each, ast.Assign)}
            listed = read_glossary(room)
            found += [f"{room.place} does not list {name}" for name in classes - listed if not name.startswith("_")]
            found += [f"{room.place} lists {name}, which is not in the room" for name in listed - classes - aliases]
    return sorted(found)


def read_glossary(room: Module) -> set[str]:
    """Return the names that a room lists: in lines `    Name: what.` below "Glossary:", or in rows of a table."""
    text = ast.get_docstring(room.tree) or ""
    lines = re.findall(r"^    (\w+): \S", text.partition("\nGlossary:\n")[2], re.MULTILINE)
    rows = re.findall(r"^\| (`.*?) \| \S", text, re.MULTILINE)
    return {*lines, *(name for row in rows for name in re.findall(r"`(\w+)`", row))}


def find_nameless(modules: tuple[Module, ...]) -> list[str]:
    """Law 5: the first line of a module says what it is for (docstrings of definitions are ruff's to check)."""
    return [module.place for module in modules if not re.match(r'r?"""\S.{8,}', module.text)]


def find_blind(modules: tuple[Module, ...]) -> list[str]:
    """Law 6: one `except` takes any exception and keeps it, in model/attempt.py."""
    found = []
    for module in modules:
        for handler in module.nodes(ast.ExceptHandler):
            caught = (
                {name.id for name in ast.walk(handler.type) if isinstance(name, ast.Name)} if handler.type else set()
            )
            raises = any(isinstance(node, ast.Raise) for node in ast.walk(handler))
            if (not caught or caught & {"Exception", "BaseException"}) and not raises:
                found.append(f"{module.place}:{handler.lineno}")
        for call in module.nodes(ast.Call):
            names = {name.id for argument in call.args for name in ast.walk(argument) if isinstance(name, ast.Name)}
            if ast.unparse(call.func).endswith("suppress") and names & {"Exception", "BaseException"}:
                found.append(f"{module.place}:{call.lineno}")
    allowed = [place for place in found if place.startswith("papympi/model/attempt.py:")]
    return [place for place in found if place not in allowed[:1]]


def find_unexplained(modules: tuple[Module, ...]) -> list[str]:
    """Law 7: a lint or type exception carries its reason on the same line."""
    exception = re.compile(r"#\s*(noqa|type:\s*ignore|mypy:|ruff:|pragma:)")
    codes = re.compile(
        r"#\s*(noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|pragma: no \w+|(type|mypy|ruff):\s*[\w-]+(\[[\w, -]+\])?)"
    )
    return [
        f"{module.place}:{line}: {comment}"
        for module in modules
        for line, comment in module.comments
        if exception.search(comment) and len(codes.sub("", comment).strip(" #-:")) < 5
    ]


def find_unpromised(modules: tuple[Module, ...]) -> list[str]:
    """What plugins import of papympi, lazily too, is what they are promised."""
    rooms = tuple(f"papympi.{room}." for room in PROMISED)
    face = {"papympi.", *(f"papympi.{name}." for name in papympi.__all__)}
    found = []
    for module in modules:
        for statement in module.nodes(ast.Import, ast.ImportFrom):
            above = f"{statement.module}." if isinstance(statement, ast.ImportFrom) else ""
            names = [f"{above}{alias.name}." for alias in statement.names]
            ours = [name for name in names if name.startswith("papympi.") and name not in face]
            found += [f"{module.place}:{statement.lineno}: {name}" for name in ours if not name.startswith(rooms)]
    return found


def find_vague_names(modules: tuple[Module, ...]) -> list[str]:
    """No module is named after nothing in particular."""
    vague = {"utils", "util", "helpers", "helper", "common", "base", "misc", "shared"}
    return [module.place for module in modules if vague & set(module.name.split("."))]


def find_long_names(modules: tuple[Module, ...]) -> list[str]:
    """Law 10: a test's name is a rule in few words; where it takes more, the docstring has them."""
    functions = [each for module in modules for each in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef)]
    names = [each.name for each in functions if each.name.startswith("test_")]
    found = [name for name in names if len(name) > LONGEST_NAME]
    middle = statistics.median(map(len, names)) if names else 0
    return found or [f"the median of all names has {middle} characters"] * (middle > LONGEST_MEDIAN)


def find_stopwatches(modules: tuple[Module, ...]) -> list[str]:
    """Law 10: no test asserts how long something took. A deadline for what a test waits for is no such thing."""
    found = []
    for module in modules:
        taken = {part for part in module.nodes(ast.BinOp) if isinstance(part.op, ast.Sub) and reads_clock(part.left)}
        assigned = [each for each in module.nodes(ast.Assign) if taken & set(ast.walk(each.value))]
        names = {target.id for each in assigned for target in each.targets if isinstance(target, ast.Name)}
        for claim in module.nodes(ast.Assert):
            parts = set(ast.walk(claim.test))
            if taken & parts or names & {part.id for part in parts if isinstance(part, ast.Name)}:
                found.append(f"{module.place}:{claim.lineno}")
    return found


def reads_clock(expression: ast.expr) -> bool:
    """Say whether an expression is the call of a clock."""
    clock = r"(time\.)?(time|monotonic|perf_counter|process_time)(_ns)?\(\)"
    return re.fullmatch(clock, ast.unparse(expression)) is not None


def find_kinds(modules: tuple[Module, ...]) -> list[str]:
    """Nobody asks of which kind a step is."""
    nodes = [(module.place, each) for module in modules for each in ast.walk(module.tree)]
    return [
        f"{place}:{each.lineno}" for place, each in nodes if isinstance(each, ast.Attribute) and each.attr == "kind"
    ]


LAWS: dict[Callable[[tuple[Module, ...]], list[str]], tuple[Callable[[], tuple[Module, ...]], str]] = {
    find_circle: (our_modules, '"""Imports itself through the next one."""\ndef f():\n    from papympi import next\n'),
    find_long_files: (our_modules, "\n" * (LONGEST_FILE + 1)),
    find_short_files: (our_modules, "x = 1\n"),
    find_namesakes: (our_modules, "class A: ...\nclass A: ...\n"),
    find_long_functions: (our_modules, "def f(\n):\n" + "    f()\n" * (LONGEST_FUNCTION + 1)),
    find_nameless: (all_modules, '# A comment.\n"""Says too late what it is for."""\n'),
    find_blind: (our_modules, "try:\n    f()\nexcept (OSError, Exception):\n    g()\n"),
    find_unexplained: (all_modules, "import x  # noqa: F401\n"),
    find_vague_names: (all_modules, ""),
    find_long_names: (all_tests, f"def test_{'x' * LONGEST_NAME}(): ...\n"),
    find_stopwatches: (all_tests, "took = time.monotonic() - begun\nassert took < 5\n"),
    find_unpromised: (plugin_modules, ""),
    find_kinds: (uniform_modules, 'if step.kind == "fold":\n    f()\n'),
}
"""Each law with what it holds for, and a source that breaks it."""


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_holds(law):
    scope, _ = LAWS[law]
    assert law(scope()) == []


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_can_fail(law):
    _, source = LAWS[law]
    back = Module(
        "papympi/next.py", "papympi.next", '"""Imports the first one, and stands alone."""\nimport papympi.utils\n'
    )
    assert len(law((Module("papympi/utils.py", "papympi.utils", source), back))) == 1


@pytest.mark.parametrize(
    ("glossary", "problems"),
    [
        ("Glossary:\n    Queue: what waits.\n    Task: one batch.", []),
        ("| class | what it is |\n| --- | --- |\n| `Queue`, `Task` | what waits; one batch |", []),
        ("Glossary:\n    Queue: what waits.", ["does not list Task"]),
        ("Glossary:\n    Queue: what waits.\n    Task: one batch.\n    Old: gone.", ["lists Old, which is not"]),
        ("    Queue: what waits.\n    Task: one batch.", ["does not list Queue", "does not list Task"]),
        ("It mentions `Queue` and `Task`.", ["does not list Queue", "does not list Task"]),
    ],
)
def test_every_class_is_in_the_glossary(glossary, problems):
    room = Module("papympi/engine/__init__.py", "papympi.engine", f'"""The engine.\n\n{glossary}\n"""\n')
    inside = Module("papympi/engine/a.py", "papympi.engine.a", "class Queue: ...\nclass Task: ...\nclass _Own: ...\n")
    below = Module("papympi/engine/deep/b.py", "papympi.engine.deep.b", "class Other: ...\n")
    found = find_unlisted((room, inside, below))
    assert len(found) == len(problems)
    assert all(problem in each for each, problem in zip(found, problems, strict=True))


def test_every_room_has_its_glossary():
    assert find_unlisted(our_modules()) == []


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    f()\nexcept:\n    g()\n",
        "try:\n    f()\nexcept BaseException as error:\n    g(error)\n",
        "with contextlib.suppress(Exception):\n    f()\n",
    ],
)
def test_blind_except_is_seen(source):
    """Every blind except is seen."""
    assert len(find_blind((Module("papympi/a.py", "papympi.a", source),))) == 1
    twice = Module("papympi/model/attempt.py", "papympi.model.attempt", source * 2)
    assert len(find_blind((twice,))) == 1


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("from papympi import node, workers\n", 1),
        ("def f():\n    import papympi.transport.payload\n", 1),
        ("from papympi.transport import frames, task\n", 1),
        ("import papympi, papympi.errors\nfrom papympi.plan.program import Call\nfrom papympi.model import item\n", 0),
        ("import papympi_loky, numpy\nfrom papympi_loky.workers import x\n", 0),
    ],
)
def test_every_import_of_a_plugin_is_seen(source, seen):
    assert len(find_unpromised((Module("papympi_x/a.py", "papympi_x.a", source),))) == seen


@pytest.mark.parametrize(
    "comment", ["# noqa", "# type: ignore[arg-type]", "# noqa: A001, A002 -", "# pragma: no cover"]
)
def test_unexplained_is_seen(comment):
    """Every unexplained exception is seen."""
    module = Module("papympi/a.py", "papympi.a", f"x = 1  {comment}\n")
    assert len(find_unexplained((module,))) == 1
    explained = Module("papympi/a.py", "papympi.a", f"x = 1  {comment}  # the name is the public one\n")
    assert find_unexplained((explained,)) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("assert perf_counter() - begun < 5\n", 1),
        ("assert 5 > (time.monotonic_ns() - begun) / 1e9\n", 1),
        ("end = time.monotonic() + 5\nwhile run():\n    assert time.monotonic() < end\n", 0),
        ("left = end - time.monotonic()\nassert select(left)\n", 0),
    ],
)
def test_stopwatch_is_no_deadline(source, count):
    assert len(find_stopwatches((Module("tests/test_a.py", "tests.test_a", source),))) == count


def test_hooks_are_there():
    assert len(HOOKS) >= 10


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_docs_and_test(hook):
    """Every hook has a docstring, a heading with its signature and a test."""
    assert inspect.getdoc(HOOKS[hook])
    page = (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
    signature = str(inspect.signature(HOOKS[hook])).replace("'", "")
    assert f"\n## {hook}\n\n```text\n{hook}{signature}\n```\n" in page
    tests = "".join(module.text for module in read_modules(ROOT / "tests"))
    assert re.search(rf"\ndef test_\w*{hook}\w*\(", tests)


def runs_the_contract(folder: Path, pool: str) -> bool:
    """Say whether a test file that imports a pool has a class that inherits a contract suite of `papympi.testing`."""
    for path in folder.glob("test_*.py"):
        module = Module(str(path), path.stem, path.read_text(encoding="utf-8"))
        imported: dict[str, set[str]] = {}
        for statement in module.nodes(ast.ImportFrom):
            imported.setdefault(statement.module or "", set()).update(alias.name for alias in statement.names)
        bases = {ast.unparse(base) for each in module.nodes(ast.ClassDef) for base in each.bases}
        pools = {name for name in imported if name.startswith("papympi.pools.")}
        pools |= {f"papympi.pools.{name}" for name in imported.get("papympi.pools", ())}
        if f"papympi.pools.{pool}" in pools and imported.get("papympi.testing", set()) & bases:
            return True
    return False


@pytest.mark.parametrize("pool", [*BACKENDS, "executor", "members"])
def test_every_pool_runs_contract(pool):
    """Every pool runs the contract suite."""
    assert runs_the_contract(ROOT / "tests" / "pools", pool)


def test_missing_contract_is_seen(tmp_path):
    """A missing contract suite is seen."""
    head = "from papympi.testing import PoolContract\nfrom papympi.pools.a import A\nfrom papympi.pools import c\n"
    (tmp_path / "test_a.py").write_text(f"{head}class TestA: ...\n")
    assert not runs_the_contract(tmp_path, "a")
    (tmp_path / "test_a.py").write_text(f"{head}class TestA(PoolContract): ...\n")
    assert runs_the_contract(tmp_path, "a")
    assert not runs_the_contract(tmp_path, "b")
    assert runs_the_contract(tmp_path, "c")


def test_every_room_has_tests():
    inside = {path.parent for path in PACKAGE.glob("*/**/*.py") if path.name != "__init__.py"}
    rooms = {room.relative_to(PACKAGE) for room in inside} - {Path("testing")}
    tested = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").glob("*/**/test_*.py")}
    assert {room for room in rooms if tested.isdisjoint({room, room.parent})} == set()
    together = {Path("slurm"), Path("scripts"), Path("fuzz")}  # of all rooms: a cluster, scripts, random graphs
    assert tested - rooms == together


def run_python(program: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_import_is_light():
    """Import brings nothing heavy."""
    program = f"import sys, papympi; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(program).strip() == "[]"
    assert run_python(program.replace("papympi", "numpy")).strip() != "[]"


def cpu_seconds(program: str) -> float:
    """Return the processor time of a fresh interpreter, which a busy machine changes less than the time on the wall."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_python(program)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_import_within_budget():
    """Import is within its budget."""
    bare, full = [], []
    for _ in range(30):
        bare.append(cpu_seconds("pass"))
        full.append(cpu_seconds("import papympi"))
        cost = min(full) - min(bare)
        if len(full) >= 5 and cost < IMPORT_BUDGET_S:
            return
    pytest.fail(f"`import papympi` takes {cost * 1000:.0f} ms more than the bare interpreter")


@pytest.mark.parametrize("pool", ["processes:1", "mpi:1"])
def test_workers_import_little(pool):
    """Workers import neither the engine nor dill for a plain function."""
    program = f"""
        import papympi

        def list_modules(x):
            import sys
            return sorted(sys.modules)

        if __name__ == "__main__":
            (names,) = papympi.map(list_modules, [1], pool="{pool}", errors="raise")
            print(["papympi" in names, *(name for name in names if name.startswith(("papympi.engine", "dill")))])
    """
    assert run_python(textwrap.dedent(program)).strip() == "[True]"
